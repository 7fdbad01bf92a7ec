package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"farthing/apikey"
	"farthing/httpapi"
	"farthing/internal/private"

	"github.com/prometheus/client_golang/prometheus"
)

// accessFlags say who gets in, and how.
type accessFlags struct {
	APIKeys     string `name:"api-keys" help:"File of API keys, made with farthing keys. It may be changed while the server runs: what it says counts from the next request on. Default: no keys, everybody on this machine may do everything." placeholder:"FILE"`
	TLSCert     string `name:"tls-cert" help:"File with the certificate (PEM, intermediate ones after it) to speak TLS with. Read again when it or the key changes, and on SIGHUP." placeholder:"FILE" group:"TLS"`
	TLSKey      string `name:"tls-key" help:"File with the private key (PEM) of --tls-cert. Nobody but its owner may be able to read it." placeholder:"FILE" group:"TLS"`
	TLSClientCA string `name:"tls-client-ca" help:"File with the certificates (PEM) of the authorities of which every client must show a certificate. API keys are needed all the same." placeholder:"FILE" group:"TLS"`

	MaxConnections           int `help:"Open connections. One more takes the place of the one that has waited longest for its client. Each needs a file descriptor." default:"16384" group:"Advanced"`
	MaxConnectionsPerAddress int `help:"Open connections of one client address (of IPv6, one /64 network). Not with a proxy in front. Default: no bound." placeholder:"N" group:"Advanced"`
}

// filesEvery is how often files are looked at without anybody asking.
const filesEvery = time.Second

// descriptorsKept is how many file descriptors connections leave to the store and the rest.
const descriptorsKept = 1024

// access is what the flags name, as it is now. All of it is safe for concurrent use.
type access struct {
	flags *accessFlags
	log   *slog.Logger
	keys  *apikey.File // nil: none
	tls   *httpapi.TLS // nil: plain text

	mu      sync.Mutex
	stamps  [3]private.Stamp // of the TLS files as they were read last, well or not; under mu
	broken  error            // why what was read last does not count; under mu
	expires time.Time        // of the certificate in use; under mu
}

// openAccess reads the files.
func openAccess(f *accessFlags, log *slog.Logger) (*access, error) {
	a := &access{flags: f, log: log}
	if f.APIKeys != "" {
		keys, err := apikey.Open(f.APIKeys, a.keysChanged)
		if err != nil {
			return nil, fmt.Errorf("--api-keys: %w", err)
		}
		a.keys = keys
	}
	switch {
	case f.TLSCert == "" && f.TLSKey == "" && f.TLSClientCA == "":
		return a, nil
	case f.TLSCert == "" || f.TLSKey == "":
		return nil, usageError{errors.New("--tls-cert and --tls-key want each other, and --tls-client-ca wants both")}
	}
	a.stamps = f.tlsStamps()
	certificate, cas, err := f.readTLS()
	if err != nil {
		return nil, err
	}
	a.tls, a.expires = httpapi.NewTLS(certificate, cas), certificate.Leaf.NotAfter
	return a, nil
}

// keyring is what httpapi asks for keys; nil: there are none.
func (a *access) keyring() httpapi.Keys {
	if a.keys == nil {
		return nil
	}
	return keyring{a.keys}
}

func (a *access) keysChanged(keys int, err error) {
	if err != nil {
		a.log.Error("the file of API keys cannot be used as it is now; the keys of before go on, those revoked since included", "error", err, "keys", keys)
		return
	}
	a.log.Info("API keys were read again", "file", a.flags.APIKeys, "keys", keys)
}

// start looks at the files from now and then on, until stop, which waits for the end of it.
func (a *access) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { a.watch(ctx) })
	return func() { cancel(); watching.Wait() }
}

// watch looks at the files until the context ends.
func (a *access) watch(ctx context.Context) {
	if a.keys == nil && a.tls == nil {
		return
	}
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	defer signal.Stop(hangUp)
	tick := time.NewTicker(filesEvery)
	defer tick.Stop()
	for {
		forced := false
		select {
		case <-ctx.Done():
			return
		case <-hangUp:
			forced = true
		case <-tick.C:
		}
		if a.keys != nil {
			a.keys.Refresh()
		}
		if a.tls != nil {
			a.refreshTLS(forced)
		}
	}
}

// refreshTLS reads the certificate and its key again, together: a pair of which only one
// half is new yet does not fit, and the next look finds the other.
func (a *access) refreshTLS(forced bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	stamps := a.flags.tlsStamps()
	if stamps == a.stamps && !forced {
		return
	}
	a.stamps = stamps
	certificate, cas, err := a.flags.readTLS()
	if a.broken = err; err != nil {
		a.log.Error("the certificate and its key cannot be used as they are now; those of before go on", "error", err)
		return
	}
	a.expires = certificate.Leaf.NotAfter
	a.tls.Replace(certificate, cas)
	a.log.Info("the certificate was read again", "file", a.flags.TLSCert, "expires", a.expires)
}

func (f *accessFlags) tlsStamps() (s [3]private.Stamp) {
	for i, path := range []string{f.TLSCert, f.TLSKey, f.TLSClientCA} {
		s[i] = private.StampOf(path)
	}
	return s
}

func (f *accessFlags) readTLS() (certificate tls.Certificate, cas *x509.CertPool, err error) {
	text, err := private.ReadPublic(f.TLSCert, secretBytesMax)
	if err != nil {
		return certificate, nil, fmt.Errorf("--tls-cert: %w", err)
	}
	key, err := private.Read(f.TLSKey, secretBytesMax)
	if err != nil {
		return certificate, nil, fmt.Errorf("--tls-key: %w", err)
	}
	if certificate, err = tls.X509KeyPair(text, key); err != nil {
		return certificate, nil, fmt.Errorf("--tls-cert: %w", err)
	}
	if f.TLSClientCA == "" {
		return certificate, nil, nil
	}
	cas, err = readCAs(f.TLSClientCA)
	if err != nil {
		return certificate, nil, fmt.Errorf("--tls-client-ca: %w", err)
	}
	return certificate, cas, nil
}

// readCAs reads certificates of authorities, at least one.
func readCAs(path string) (*x509.CertPool, error) {
	text, err := private.ReadPublic(path, secretBytesMax)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: no certificate in it", path)
	}
	return pool, nil
}

// connections is how many may be open: what was asked for, or what there are file
// descriptors for. Go has raised the soft limit to the hard one by now.
func (f *accessFlags) connections(log *slog.Logger) int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return f.MaxConnections
	}
	have := int(min(limit.Cur, 1<<30))
	if f.MaxConnections <= have-descriptorsKept {
		return f.MaxConnections
	}
	most := max(have-descriptorsKept, have/4, 1)
	log.Warn("there are fewer file descriptors than --max-connections wants; raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd)",
		"limit", have, "max_connections", f.MaxConnections, "connections", most)
	return most
}

// warnOpen says that keys go over the network as they are.
func (a *access) warnOpen(address string, loopback bool) {
	if a.tls == nil && a.keys != nil && !loopback {
		a.log.Warn("API keys go over the network as they are: whoever listens on the way has them; use --tls-cert, or let a proxy speak TLS", "address", address)
	}
}

// keyring makes the key file known to httpapi.
type keyring struct{ file *apikey.File }

// Authenticate implements httpapi.Keys.
func (k keyring) Authenticate(token []byte) (httpapi.Key, bool) {
	found, ok := k.file.Authenticate(token)
	if !ok {
		return httpapi.Key{}, false
	}
	key := httpapi.Key{ID: string(found.ID)}
	if found.Scopes.Has(apikey.Ingest) {
		key.Scopes |= httpapi.ScopeIngest
	}
	if found.Scopes.Has(apikey.Read) {
		key.Scopes |= httpapi.ScopeRead
	}
	if found.Scopes.Has(apikey.Admin) {
		key.Scopes |= httpapi.ScopeAdmin
	}
	if found.Limiter != nil {
		key.Limit = found.Limiter
	}
	return key, true
}

var (
	descKeys        = prometheus.NewDesc("farthing_api_keys", "API keys that are let in.", nil, nil)
	descFileBroken  = prometheus.NewDesc("farthing_file_broken", "1 while a file (api-keys, tls) cannot be used as it is now, and what it said before goes on.", []string{"file"}, nil)
	descCertExpires = prometheus.NewDesc("farthing_tls_certificate_expires_timestamp_seconds", "When the certificate in use expires.", nil, nil)
)

// Describe implements prometheus.Collector.
func (a *access) Describe(out chan<- *prometheus.Desc) {
	out <- descKeys
	out <- descFileBroken
	out <- descCertExpires
}

// Collect implements prometheus.Collector.
func (a *access) Collect(out chan<- prometheus.Metric) {
	broken := func(file string, err error) {
		value := 0.0
		if err != nil {
			value = 1
		}
		out <- prometheus.MustNewConstMetric(descFileBroken, prometheus.GaugeValue, value, file)
	}
	if a.keys != nil {
		out <- prometheus.MustNewConstMetric(descKeys, prometheus.GaugeValue, float64(a.keys.Len()))
		broken("api-keys", a.keys.Broken())
	}
	if a.tls != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		broken("tls", a.broken)
		out <- prometheus.MustNewConstMetric(descCertExpires, prometheus.GaugeValue, float64(a.expires.Unix()))
	}
}
