import { createHash } from 'node:crypto'
import { checkSignature } from './keys.js'

const KIND_LINE = 'farthing.settlement.line.v1'
const KIND_MANIFEST = 'farthing.settlement.batch.v1'

const LINES_PAGE = 1000 // lines read at once to hash them

// follow is the contract's rule: what is not greater than the last applied stream_seq is dropped, what has none is no record of the
// stream, and a greater one than the next is a gap, at which it ends. It returns what is to be applied, and the stream_seq and the offset reached.
// Both are 64-bit numbers, for which JavaScript has BigInt.
export function follow (messages, last) {
  const fresh = []
  let end = BigInt(messages[0].offset)
  for (const message of messages) {
    const text = header(message, 'stream_seq')
    if (text !== undefined) {
      if (!/^[1-9][0-9]*$/.test(text)) {
        return { fresh, last, end, gap: new Error(`offset ${message.offset}: stream_seq "${text}" is no number`) }
      }
      const seq = BigInt(text)
      if (seq > last + 1n) {
        return { fresh, last, end, gap: new Error(`gap: stream_seq ${seq} follows ${last} at offset ${message.offset}: nothing is applied from here on`) }
      }
      if (seq === last + 1n) {
        fresh.push(message)
        last = seq
      }
    }
    end = BigInt(message.offset) + 1n
  }
  return { fresh, last, end }
}

export function header (message, key) {
  const value = message.headers?.[key]
  return value === undefined ? undefined : String(Array.isArray(value) ? value[0] : value)
}

// Applier applies records of one partition.
export class Applier {
  constructor (db, topic, partition, keys) {
    Object.assign(this, { db, topic, partition, keys })
  }

  // apply applies what is new of messages in one transaction. If they have a gap, all before it is applied and the gap is thrown.
  async apply (messages) {
    if (messages.length === 0) return
    const place = [this.topic, this.partition]
    await this.db.query('BEGIN')
    // The lock makes a second process wait, which then sees what this one has applied.
    const { rows: [row] } = await this.db.query('SELECT stream_seq FROM stream WHERE topic = $1 AND partition = $2 FOR UPDATE', place)
    const { fresh, last, end, gap } = follow(messages, BigInt(row.stream_seq))
    await this.applyAll(fresh)
    await this.db.query('UPDATE stream SET stream_seq = $3, next_offset = $4 WHERE topic = $1 AND partition = $2', [...place, String(last), String(end)])
    await this.db.query('COMMIT')
    if (gap) throw gap
  }

  // applyAll applies messages in their order, consecutive lines by one statement.
  async applyAll (messages) {
    let lines = []
    const flush = async () => {
      if (lines.length > 0) await this.db.query('SELECT apply_lines($1)', [lines])
      lines = []
    }
    for (const message of messages) {
      const kind = header(message, 'ce_type')
      if (kind === KIND_LINE) lines.push(message.value.toString())
      if (kind === KIND_MANIFEST) {
        await flush()
        await this.applyManifest(message)
      }
    }
    await flush()
  }

  // applyManifest makes a batch visible once its lines, which are here, agree with it.
  async applyManifest (message) {
    const where = `batch ${message.key} at offset ${message.offset}`
    const keyID = checkSignature(this.keys, header(message, 'key_id'), header(message, 'signature'), message.value, where)
    const text = message.value.toString()
    const manifest = JSON.parse(text) // for two strings; its amounts are read by the database, as numeric
    const hash = await this.hashLines(manifest.batch_id)
    if (hash !== manifest.lines_hash) {
      throw new Error(`${where}: the lines have the hash ${hash}, the manifest says ${manifest.lines_hash}`)
    }
    const { rows: [row] } = await this.db.query('SELECT lines_add_up($1) AS good', [text])
    if (!row.good) throw new Error(`${where}: the lines do not add up to the manifest`)
    await this.db.query('SELECT apply_manifest($1, $2)', [text, keyID])
  }

  // hashLines is SHA-256 of the batch's line records, one after the other. It reads what was stored, page by page: the lines came in any
  // number of transactions, and of processes.
  async hashLines (batchID) {
    const hash = createHash('sha256')
    for (let last = '0', more = true; more;) {
      const { rows } = await this.db.query('SELECT line, record FROM line WHERE batch_id = $1 AND line > $2 ORDER BY line LIMIT $3', [batchID, last, LINES_PAGE])
      for (const row of rows) {
        hash.update(row.record)
        last = row.line
      }
      more = rows.length === LINES_PAGE
    }
    return hash.digest('hex')
  }
}
