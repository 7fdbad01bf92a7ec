// Applies settlement batches from Kafka to PostgreSQL, each exactly once. What makes it exact:
//
// - The last applied stream_seq is a row of the same database and changes in the same transaction as what is applied.
// - A record whose stream_seq is not greater is dropped; a greater one than the next is a gap, and the program stops.
// - Records without stream_seq, and of kinds that it does not know, are passed over.
// - A batch becomes visible with its manifest, if its lines have the manifest's hash and sums, and its signature is good.
//
// It may be killed at any time and started again anywhere, twice at once too: the row is locked while records are applied.

import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import kafkajs from 'kafkajs'
import pg from 'pg'
import { Applier } from './apply.js'
import { readKeys } from './keys.js'

const { values: options } = parseArgs({
  options: {
    brokers: { type: 'string', default: '127.0.0.1:9092' },
    topic: { type: 'string', default: 'farthing.settlements' },
    partition: { type: 'string', default: '0' }, // one process for each
    database: { type: 'string' }, // a PostgreSQL connection string
    'public-keys': { type: 'string', default: '' }, // PEM files, separated by commas; none: signatures are not checked
    'from-start': { type: 'boolean', default: false } // read the topic from its first record; what is applied is dropped
  }
})

// prepare makes the tables and the partition's row. Two that start at once take turns.
async function prepare (db, topic, partition) {
  await db.query('BEGIN')
  await db.query("SELECT pg_advisory_xact_lock(hashtext('farthing consumer'))")
  await db.query(await readFile(new URL('schema.sql', import.meta.url), 'utf8'))
  await db.query('INSERT INTO stream (topic, partition, stream_seq, next_offset) VALUES ($1, $2, 0, 0) ON CONFLICT DO NOTHING', [topic, partition])
  await db.query('COMMIT')
}

// stop ends the program. It does not try again by itself: whoever supervises the process starts it again, and it goes on
// where it was. What was not committed is rolled back by the database.
function stop (err) {
  console.error('consumer-node:', err.message)
  process.exit(1)
}

async function run () {
  const topic = options.topic
  const partition = Number(options.partition)
  const keys = await readKeys(options['public-keys'])
  const db = new pg.Client({ connectionString: options.database })
  db.on('error', stop)
  await db.connect()
  await prepare(db, topic, partition)
  const applier = new Applier(db, topic, partition, keys)

  const kafka = new kafkajs.Kafka({ clientId: 'consumer-node', brokers: options.brokers.split(','), logLevel: kafkajs.logLevel.WARN })
  // kafkajs cannot read without a group. Positions are in the database, so each run takes a group of its own and commits nothing to it:
  // nobody has to wait until a killed process has left.
  const consumer = kafka.consumer({ groupId: `consumer-node-${randomUUID()}`, retry: { retries: 5 } })
  consumer.on(consumer.events.CRASH, ({ payload }) => stop(payload.error))
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch }) => {
      if (batch.partition !== partition) return
      try {
        await applier.apply(batch.messages)
      } catch (err) {
        stop(err) // thrown on, kafkajs would try the batch again
      }
    }
  })
  const { rows: [row] } = await db.query('SELECT next_offset FROM stream WHERE topic = $1 AND partition = $2', [topic, partition])
  if (row.next_offset !== '0' && !options['from-start']) {
    consumer.seek({ topic, partition, offset: row.next_offset })
  }
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, async () => {
      await consumer.disconnect()
      await db.end()
      process.exit(0)
    })
  }
}

run().catch(stop)
