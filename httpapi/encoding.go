package httpapi

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"runtime"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"

	"farthing/refusal"
)

// encoding is how a body is compressed.
type encoding uint8

const (
	plain encoding = iota
	gzipped
	zstandard
)

// encodingsRead is what Accept-Encoding of a 415 says.
const encodingsRead = "gzip, zstd"

const (
	// windowMaxBytes bounds what a zstd frame makes its reader keep. RFC 9659 lets
	// Content-Encoding have no more.
	windowMaxBytes = 8 << 20
	// windowKeepBytes is the largest window of a unpacker that is kept.
	windowKeepBytes = 1 << 20
)

// encodingOf is the request's Content-Encoding.
func encodingOf(h *fasthttp.RequestHeader) (encoding, *refusal.Refusal) {
	values := h.PeekAll(fasthttp.HeaderContentEncoding)
	if len(values) == 0 {
		return plain, nil
	}
	value := bytes.TrimSpace(values[0])
	switch {
	case len(values) > 1:
	case len(value) == 0, bytes.EqualFold(value, []byte("identity")):
		return plain, nil
	case bytes.EqualFold(value, []byte("gzip")), bytes.EqualFold(value, []byte("x-gzip")):
		return gzipped, nil
	case bytes.EqualFold(value, []byte("zstd")):
		return zstandard, nil
	}
	return plain, refusal.New(refusal.UnsupportedType, "content_encoding", "a body may have one Content-Encoding, gzip or zstd, or none")
}

// unpackers decompress bodies that have arrived. They wait for no client, so few are
// enough, and these few bound the memory that decompressing takes.
type unpackers struct {
	places chan *unpacker // as many as there are; nil: not made yet
}

// unpacker has what it needs for both encodings. It belongs to whoever took it.
type unpacker struct {
	source bytes.Reader
	reader *bufio.Reader
	gzip   gzip.Reader
	zstd   *zstd.Decoder // nil: not made yet
}

func newUnpackers() *unpackers {
	d := &unpackers{places: make(chan *unpacker, max(2, runtime.GOMAXPROCS(0)))}
	for range cap(d.places) {
		d.places <- nil
	}
	return d
}

// decode writes what body decompresses to into buffer. grow takes the budget for so many
// bytes in all before there are more than were taken.
func (d *unpackers) decode(how encoding, body []byte, buffer *[]byte, taken, limit int, grow func(int) bool) ([]byte, error) {
	one := <-d.places
	if one == nil {
		one = &unpacker{reader: bufio.NewReaderSize(nil, 4<<10)}
	}
	defer func() { d.places <- one }()
	one.source.Reset(body)
	defer one.source.Reset(nil)
	if how == gzipped {
		return one.gunzip(buffer, taken, limit, grow)
	}
	return one.unzstd(body, buffer, taken, limit, grow)
}

// gunzip reads one member. Several are refused: whoever reads the first alone would see
// another body than we do.
func (d *unpacker) gunzip(buffer *[]byte, taken, limit int, grow func(int) bool) ([]byte, error) {
	d.reader.Reset(&d.source)
	if err := d.gzip.Reset(d.reader); err != nil {
		return nil, errBodyEncoding
	}
	d.gzip.Multistream(false)
	out, err := readChunked(&d.gzip, buffer, taken, limit, &pacer{}, grow)
	if err != nil {
		return nil, decodeFault(err)
	}
	if _, err := d.reader.ReadByte(); err != io.EOF {
		return nil, errBodyEncoding
	}
	return out, nil
}

func (d *unpacker) unzstd(body []byte, buffer *[]byte, taken, limit int, grow func(int) bool) ([]byte, error) {
	if len(body) == 0 {
		return nil, errBodyEncoding // no frame: the library takes it for an empty body
	}
	if err := d.prepareZstd(); err != nil {
		return nil, err
	}
	large := false
	defer func() {
		if large { // it keeps memory for the largest window it met
			d.zstd.Close()
			d.zstd = nil
		}
	}()
	var header zstd.Header
	if err := header.Decode(body); err != nil || header.WindowSize > windowKeepBytes {
		large = true
	}
	if err := d.zstd.Reset(&d.source); err != nil {
		return nil, errBodyEncoding
	}
	out, err := readChunked(d.zstd, buffer, taken, limit, &pacer{}, grow)
	if err != nil {
		large = true // who knows what stood in a later frame
		return nil, decodeFault(err)
	}
	return out, nil
}

func (d *unpacker) prepareZstd() (err error) {
	if d.zstd == nil {
		// One at a time: it has no goroutines then.
		d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(windowMaxBytes), zstd.WithDecoderMaxMemory(BodyMaxBytes))
	}
	return err
}

// decodeFault is what is wrong with a body that does not decompress.
func decodeFault(err error) error {
	switch {
	case errors.Is(err, errBodyTooLarge), errors.Is(err, errNoRoom):
		return err
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return errBodyTooLarge // says so of itself
	}
	return errBodyEncoding
}
