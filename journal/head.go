package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Head is the end of the durable history.
type Head struct {
	Seq  uint64 // last durable sequence; at least 1 in an existing ledger
	Hash Hash   // hash of the block that ends at Seq
	Time int64  // time of that block's group, nanoseconds since the Unix epoch
}

// headRecord is what a slot of the head file holds.
type headRecord struct {
	gen    uint64 // grows by one with every slot written; the valid slot with the larger one counts
	writes uint64 // synced writes outside of groups; the store must hold as many
	head   Head
}

// The head file has two slots, each at the start of a 4096-byte block of its own, written in turn. A slot fits into one 512-byte
// sector, which disks write whole or not at all, and a checksum covers it; a torn slot leaves the other one.
//
//	 0  magic (8)    8  version (4)   12  reserved, zero (4)   16  generation (8)   24  sequence (8)
//	32  time (8)    40  writes (8)    48  hash (32)            80  CRC-32C of the bytes before it (4)
//
// all numbers big-endian.
const (
	headMagic     = "FARTHEAD"
	headVersion   = 1
	headSlotBytes = 84
	headBlock     = 4096
	headFileBytes = 2 * headBlock
)

var (
	errHeadSlot  = errors.New("slot is not valid")
	errHeadSlots = errors.New("neither slot is valid")
)

func castagnoli(data []byte) uint32 { return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) }

func encodeHead(dst *[headSlotBytes]byte, r *headRecord) {
	copy(dst[:], headMagic)
	binary.BigEndian.PutUint32(dst[8:], headVersion)
	binary.BigEndian.PutUint32(dst[12:], 0)
	binary.BigEndian.PutUint64(dst[16:], r.gen)
	binary.BigEndian.PutUint64(dst[24:], r.head.Seq)
	binary.BigEndian.PutUint64(dst[32:], uint64(r.head.Time))
	binary.BigEndian.PutUint64(dst[40:], r.writes)
	copy(dst[48:], r.head.Hash[:])
	binary.BigEndian.PutUint32(dst[80:], castagnoli(dst[:80]))
}

func decodeHead(src []byte) (headRecord, error) {
	var r headRecord
	if len(src) < headSlotBytes || string(src[:8]) != headMagic ||
		binary.BigEndian.Uint32(src[80:]) != castagnoli(src[:80]) ||
		binary.BigEndian.Uint32(src[8:]) != headVersion || binary.BigEndian.Uint32(src[12:]) != 0 {
		return r, errHeadSlot
	}
	r.gen = binary.BigEndian.Uint64(src[16:])
	r.head.Seq = binary.BigEndian.Uint64(src[24:])
	r.head.Time = int64(binary.BigEndian.Uint64(src[32:]))
	r.writes = binary.BigEndian.Uint64(src[40:])
	copy(r.head.Hash[:], src[48:])
	if r.gen == 0 || r.head.Seq == 0 {
		return headRecord{}, errHeadSlot
	}
	return r, nil
}

// newestHead decodes both slots of a head file's content and returns the newer valid one.
func newestHead(data []byte) (headRecord, error) {
	var best headRecord
	for at := 0; at < headFileBytes; at += headBlock {
		if at+headSlotBytes > len(data) {
			break
		}
		if r, err := decodeHead(data[at : at+headSlotBytes]); err == nil && r.gen > best.gen {
			best = r
		}
	}
	if best.gen == 0 {
		return best, errHeadSlots
	}
	return best, nil
}

// readHead reads the head file at path without changing it.
func readHead(fs vfs.FS, path string) (headRecord, error) {
	f, err := fs.Open(path)
	if err != nil {
		return headRecord{}, fmt.Errorf("journal: open head record: %w", err)
	}
	defer f.Close()
	data := make([]byte, headFileBytes)
	n, err := f.ReadAt(data, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return headRecord{}, fmt.Errorf("journal: read head record: %w", err)
	}
	r, err := newestHead(data[:n])
	if err != nil {
		return r, fmt.Errorf("%w: head record %s, so the last sequence is not known: %w", ErrCorrupt, path, err)
	}
	return r, nil
}

// headFile is the open head record. The lock keeps slots whole and their generations in order; a pwrite into the page cache under it is
// the point of it. Never held during an fsync.
type headFile struct {
	f vfs.File

	mu    sync.Mutex
	rec   headRecord          // guarded by mu: what the newest slot holds
	buf   [headSlotBytes]byte // guarded by mu
	dirty bool                // guarded by mu: a slot was written since the last fsync began
}

// openHeadFile opens or creates the head file, writes r as its newest slot and fsyncs it.
func openHeadFile(fs vfs.FS, path string, r headRecord) (*headFile, error) {
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("journal: open head record: %w", err)
	}
	h := &headFile{f: f, rec: r}
	if err := h.start(); err != nil {
		f.Close()
		return nil, err
	}
	return h, nil
}

// start gives the file its full length, so that later writes change no metadata, and makes the first slot durable.
func (h *headFile) start() error {
	info, err := h.f.Stat()
	if err != nil {
		return fmt.Errorf("journal: stat head record: %w", err)
	}
	if info.Size() < headFileBytes {
		pad := make([]byte, headFileBytes-info.Size())
		if _, err := h.f.WriteAt(pad, info.Size()); err != nil {
			return fmt.Errorf("journal: size head record: %w", err)
		}
	}
	if err := h.advance(h.rec.head); err != nil {
		return err
	}
	return h.sync()
}

// advance writes the next slot with a new end of the history.
func (h *headFile) advance(head Head) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if head.Seq < h.rec.head.Seq {
		panic("BUG: journal: head record would go back")
	}
	h.rec.head = head
	return h.writeLocked()
}

// countWrites writes the next slot with a new count of synced writes, unless the count is known already.
func (h *headFile) countWrites(writes uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if writes <= h.rec.writes {
		return nil
	}
	h.rec.writes = writes
	return h.writeLocked()
}

func (h *headFile) writeLocked() error {
	h.rec.gen++
	encodeHead(&h.buf, &h.rec)
	h.dirty = true
	if _, err := h.f.WriteAt(h.buf[:], int64(h.rec.gen&1)*headBlock); err != nil {
		return fmt.Errorf("journal: write head record: %w", err)
	}
	return nil
}

// sync makes the slots written so far durable.
func (h *headFile) sync() error {
	h.mu.Lock()
	dirty := h.dirty
	h.dirty = false
	h.mu.Unlock()
	if !dirty {
		return nil
	}
	if err := h.f.SyncData(); err != nil {
		return fmt.Errorf("journal: fsync head record: %w", err)
	}
	return nil
}

func (h *headFile) record() headRecord {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rec
}
