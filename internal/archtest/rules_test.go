package archtest

import "regexp"

const (
	functionLinesMax = 70
	fileLinesMax     = 500
	longComment      = "//farthing:long "
)

// imports says which packages of this module a package imports, outside its
// tests: no other may be imported, and each named one is, by some file. A row
// holds for the packages below it too; the longest row counts. Packages of one
// row may import each other. The codemap of ARCHITECTURE.md says the same.
var imports = map[string][]string{
	"cmd/farthing":          {"apikey", "batch", "bench", "engine", "export", "httpapi", "internal/private", "journal", "meter", "money", "prices", "prices/catalogue", "proof", "publish", "reconcile", "refusal", "webhook"},
	"httpapi":               {"compact", "engine", "meter", "money", "proof", "refusal", "usage", "webhook"},
	"usage":                 {"money", "refusal"},
	"compact":               {"meter", "money", "refusal"},
	"engine":                {"batch", "cow", "internal/bloom", "journal", "ledger", "limit", "meter", "money", "period", "refusal", "usage"},
	"export":                {"engine", "journal", "money"},
	"publish":               {},
	"proof":                 {"batch", "meter", "money"},
	"reconcile":             {"batch", "money", "publish"},
	"webhook":               {"refusal"},
	"batch":                 {"internal/sha256x2", "money"},
	"internal/sha256x2":     {},
	"internal/bloom":        {},
	"journal":               {},
	"meter":                 {"money", "refusal"},
	"ledger":                {"cow", "money"},
	"period":                {"money"},
	"limit":                 {"money", "period"},
	"cow":                   {},
	"prices":                {"meter", "money"},
	"prices/catalogue":      {"money"},
	"apikey":                {"internal/private"},
	"internal/private":      {},
	"money":                 {},
	"refusal":               {},
	"bench":                 {"compact", "internal/postgres", "meter", "money"},
	"client":                {"compact"},
	"e2e":                   {},
	"examples":              {},
	"internal/archtest":     {},
	"internal/postgres":     {},
	"internal/postgrestest": {"internal/postgres"},
	"internal/soak":         {},
}

// onlyIn says which packages may import a library, by the start of its import
// path. Test files may import what they like: an independent client or a fake
// broker is what makes a test worth something.
var onlyIn = map[string][]string{
	"github.com/cockroachdb/pebble":       {"journal"},
	"github.com/valyala/fasthttp":         {"httpapi", "bench"}, // bench: an empty handler, as a limit
	"github.com/jackc/pgx":                {"bench", "examples"},
	"github.com/redis/go-redis":           {"bench"},
	"github.com/tigerbeetle":              {"bench"},
	"github.com/google/pprof":             {"bench"},
	"github.com/go-analyze/charts":        {"bench"},
	"github.com/valyala/fastjson":         {"bench"},
	"github.com/segmentio/kafka-go":       {"publish"},
	"github.com/twmb/franz-go":            {"examples"},
	"github.com/parquet-go/parquet-go":    {"export"},
	"github.com/alecthomas/kong":          {"cmd/farthing"},
	"github.com/netresearch/go-cron":      {"cmd/farthing"},
	"github.com/prometheus/client_golang": {"httpapi", "cmd/farthing"},
}

// pure packages decide and compute. Time, ids and randomness reach them as
// arguments, so that a replay of the journal gives the same bytes anywhere.
var pure = []string{"money", "meter", "ledger", "cow", "batch", "refusal", "usage", "period", "limit", "proof"}

// impureImports are refused in pure packages, with everything below them.
var impureImports = []string{
	"os", "io/ioutil", "net", "syscall", "math/rand", "crypto/rand", "sync", "log", "runtime", "context", "testing", "unsafe",
}

// impureCalls are the functions of package time that read or await the clock.
var impureCalls = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// floats are refused in pure packages: no amount can be held exactly in one.
var floats = []string{"float32", "float64", "complex64", "complex128"}

// forbiddenText must stand nowhere in the tree. The patterns are put together
// from pieces so that this file does not contain them itself.
var forbiddenText = []struct {
	pattern *regexp.Regexp
	why     string
}{
	{regexp.MustCompile(`\b(TO` + `DO\b|FIX` + `ME\b|XX` + `X[:(])`), "finish it, or file an issue; the tree has no notes to self"},
	{regexp.MustCompile(`(^|[\s"'=(` + "`" + `])/(ho` + `me|Us` + `ers|ro` + `ot|wo` + `rk|works` + `pace|bui` + `lds)/\w`), "a path of one machine; nobody else has it"},
	{regexp.MustCompile(`^(<<<<<<<|>>>>>>>)( |$)`), "an unresolved merge"},
}
