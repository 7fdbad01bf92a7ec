-- What a consumer of the topic of settlements keeps. Both examples have this file; it may be run again.

-- How far each partition is applied. It changes in the transactions that apply, so it is never ahead of them nor behind.
CREATE TABLE IF NOT EXISTS stream (
  topic       text   NOT NULL,
  partition   int    NOT NULL,
  stream_seq  bigint NOT NULL,  -- the last that is applied
  next_offset bigint NOT NULL,  -- where to read on; only a hint, what is read twice is dropped by stream_seq
  PRIMARY KEY (topic, partition)
);

-- A batch is here once its manifest came and its lines agree with it.
CREATE TABLE IF NOT EXISTS batch (
  batch_id         text    PRIMARY KEY,
  ledger           text    NOT NULL,
  partition        int     NOT NULL,
  window_number    bigint  NOT NULL,
  currency         text    NOT NULL,
  first_stream_seq bigint  NOT NULL,
  lines            bigint  NOT NULL,
  events           bigint  NOT NULL,
  paid             numeric NOT NULL,
  collected        numeric NOT NULL,
  key_id           text,             -- of the key that signed it; null: not checked
  manifest         text    NOT NULL  -- its very bytes
);

-- Lines come before their manifest. Read settled_line, which shows whole batches only.
CREATE TABLE IF NOT EXISTS line (
  batch_id      text    NOT NULL,
  line          bigint  NOT NULL,
  account       text    NOT NULL,
  currency      text    NOT NULL,
  direction     text    NOT NULL CHECK (direction IN ('pay', 'collect', 'none')),
  amount        numeric NOT NULL CHECK (amount >= 0),
  carried_in    numeric NOT NULL,
  returned      numeric NOT NULL,
  gross_credits numeric NOT NULL,
  gross_debits  numeric NOT NULL,
  carried_out   numeric NOT NULL,
  events        bigint  NOT NULL,
  record        text    NOT NULL,  -- its very bytes, for lines_hash
  PRIMARY KEY (batch_id, line),
  CHECK (carried_in + returned + gross_credits - gross_debits =
         CASE direction WHEN 'pay' THEN amount WHEN 'collect' THEN -amount ELSE 0 END + carried_out)
);

CREATE OR REPLACE VIEW settled_line AS
  SELECT line.* FROM line JOIN batch USING (batch_id);

-- apply_lines inserts line records. Amounts are strings in JSON and become numeric: no float is on the way. Nothing comes behind a
-- manifest, whose hash and signature would not cover it.
CREATE OR REPLACE FUNCTION apply_lines(records text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO line
  SELECT j->>'batch_id', (j->>'line')::bigint, j->>'account', j->>'currency', j->>'direction', (j->>'amount')::numeric,
    (j->>'carried_in')::numeric, (j->>'returned')::numeric, (j->>'gross_credits')::numeric, (j->>'gross_debits')::numeric,
    (j->>'carried_out')::numeric, (j->>'events')::bigint, record
  FROM unnest(records) AS record, LATERAL (SELECT record::json) AS parsed(j);
  IF EXISTS (SELECT FROM unnest(records) AS record JOIN batch ON batch.batch_id = record::json->>'batch_id') THEN
    RAISE EXCEPTION 'a line came behind the manifest of its batch';
  END IF;
END
$$;

-- lines_add_up says whether the lines that are here are as many, and sum up to what, the manifest says.
CREATE OR REPLACE FUNCTION lines_add_up(m json) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT count(*) = (m->>'lines')::bigint
    AND coalesce(sum(events), 0) = (m->>'events')::bigint
    AND coalesce(sum(amount) FILTER (WHERE direction = 'pay'), 0) = (m#>>'{sums,paid}')::numeric
    AND coalesce(sum(amount) FILTER (WHERE direction = 'collect'), 0) = (m#>>'{sums,collected}')::numeric
    AND coalesce(sum(gross_debits), 0) = (m#>>'{sums,gross_debits}')::numeric
    AND coalesce(sum(gross_credits), 0) = (m#>>'{sums,gross_credits}')::numeric
    AND coalesce(sum(returned), 0) = (m#>>'{sums,returned}')::numeric
    AND coalesce(sum(carried_in), 0) = (m#>>'{sums,carried_in}')::numeric
    AND coalesce(sum(carried_out), 0) = (m#>>'{sums,carried_out}')::numeric
  FROM line WHERE batch_id = m->>'batch_id'
$$;

-- apply_manifest makes a batch visible.
CREATE OR REPLACE FUNCTION apply_manifest(manifest text, key_id text) RETURNS void LANGUAGE sql AS $$
  INSERT INTO batch
  SELECT j->>'batch_id', j->>'ledger', (j->>'partition')::int, (j->>'window')::bigint, j->>'currency', (j->>'first_stream_seq')::bigint,
    (j->>'lines')::bigint, (j->>'events')::bigint, (j#>>'{sums,paid}')::numeric, (j#>>'{sums,collected}')::numeric, key_id, manifest
  FROM (SELECT manifest::json) AS parsed(j)
$$;
