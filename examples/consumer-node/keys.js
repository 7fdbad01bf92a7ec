import { createHash, createPublicKey, verify } from 'node:crypto'
import { readFile } from 'node:fs/promises'

const RAW_BYTES = 32 // of an Ed25519 key, at the end of its DER form

// readKeys reads the ledger's public keys from PEM files, separated by commas, each with any number of keys, into a map by key id. A
// ledger has had several once its key was changed. Files without a key are an error: nothing would be checked.
export async function readKeys (files) {
  const keys = new Map()
  if (files === '') return keys
  for (const file of files.split(',')) {
    const blocks = (await readFile(file, 'utf8')).match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----/g)
    if (!blocks) throw new Error(`${file}: no PEM in it`)
    for (const block of blocks) {
      const key = createPublicKey(block)
      if (key.asymmetricKeyType !== 'ed25519') throw new Error(`${file}: not an Ed25519 key`)
      const raw = key.export({ type: 'spki', format: 'der' }).subarray(-RAW_BYTES)
      keys.set(`ed25519-${createHash('sha256').update(raw).digest('hex').slice(0, 16)}`, key)
    }
  }
  return keys
}

// checkSignature verifies a manifest's signature, which is over the record's value, and returns the id of its key. Without keys nothing is
// checked and the id is null.
export function checkSignature (keys, id, signature, value, where) {
  if (keys.size === 0) return null
  const key = keys.get(id)
  if (!key) throw new Error(`${where}: signed by the key "${id}", which is not among ours`)
  if (!verify(null, value, key, Buffer.from(signature ?? '', 'base64'))) throw new Error(`${where}: the signature by the key ${id} is not good`)
  return id
}
