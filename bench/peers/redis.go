package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisPeer is Redis with appendfsync always: a write is answered once it is in the file and that is synced.
type redisPeer struct {
	cmd    *exec.Cmd
	dir    string
	client *redis.Client
	name   string
}

// redisBook books a batch: an id is set once, and both balances move with it.
var redisBook = redis.NewScript(`
local fresh = 0
for i = 1, #ARGV, 4 do
	if redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i+1] .. ':' .. ARGV[i+2] .. ':' .. ARGV[i+3]) == 1 then
		redis.call('HINCRBY', KEYS[2], ARGV[i+1], '-' .. ARGV[i+3])
		redis.call('HINCRBY', KEYS[2], ARGV[i+2], ARGV[i+3])
		fresh = fresh + 1
	end
end
return fresh`)

const redisEvents, redisBalances = "events", "balances"

// NewRedis starts Redis in a directory of dir.
func NewRedis(ctx context.Context, dir string) (Peer, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("redis: %w", ErrMissing)
	}
	own, err := os.MkdirTemp(dir, "farthing-redis-")
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(own, "s")
	p := &redisPeer{dir: own, cmd: exec.Command(program, "--port", "0", "--unixsocket", socket, "--dir", own, "--appendonly", "yes", "--appendfsync", "always",
		"--save", "", "--auto-aof-rewrite-percentage", "0", "--daemonize", "no", "--logfile", filepath.Join(own, "log"))}
	// It goes with us, however we end.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(own))
	}
	p.client = redis.NewClient(&redis.Options{Network: "unix", Addr: socket, PoolSize: 512, ReadTimeout: time.Minute, WriteTimeout: time.Minute})
	if err := p.await(ctx); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

func (p *redisPeer) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		info, err := p.client.Info(ctx, "server").Result()
		if err == nil {
			_, after, _ := strings.Cut(info, "redis_version:")
			p.name, _, _ = strings.Cut(after, "\r")
			tick.Stop()
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return fmt.Errorf("redis is not ready: %w", err)
		}
	}
}

// Name says which release.
func (p *redisPeer) Name() string { return "Redis " + p.name }

// Notes is what differs.
func (p *redisPeer) Notes() []string {
	return []string{
		"appendonly with appendfsync always, no snapshots, no rewrite of the file, over a Unix socket; one script books a batch",
		"it gets amounts that are rated already, parses no JSON, and keeps everything in memory: no history by account, no hash chain, no evidence",
		"its balances are 64-bit integers of billionths and end at nine thousand million; a script that fails halfway keeps what it did",
	}
}

// Open has nothing to do: a balance begins with its first event.
func (p *redisPeer) Open(context.Context, int) error { return nil }

// Connect is of Peer.
func (p *redisPeer) Connect(context.Context) (Connection, error) {
	return &redisConnection{client: p.client}, nil
}

// Balances is of Peer.
func (p *redisPeer) Balances(ctx context.Context) (events int64, balances []int64, err error) {
	if events, err = p.client.HLen(ctx, redisEvents).Result(); err != nil {
		return 0, nil, err
	}
	all, err := p.client.HGetAll(ctx, redisBalances).Result()
	if err != nil {
		return 0, nil, err
	}
	for account, amount := range all {
		i, err := strconv.Atoi(account)
		if err != nil {
			return 0, nil, err
		}
		v, err := strconv.ParseInt(amount, 10, 64)
		if err != nil {
			return 0, nil, err
		}
		balances = put(balances, i, v)
	}
	return events, balances, nil
}

// Stop ends the server and removes its files.
func (p *redisPeer) Stop() error {
	err := p.client.Close()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it was killed
	return errors.Join(err, os.RemoveAll(p.dir))
}

type redisConnection struct {
	client *redis.Client
	args   []any
}

// Book is of Connection.
func (c *redisConnection) Book(ctx context.Context, events []Event) (fresh int, err error) {
	c.args = c.args[:0]
	for _, e := range events {
		c.args = append(c.args, e.ID, e.Payer, e.Payee, e.Amount)
	}
	return redisBook.Run(ctx, c.client, []string{redisEvents, redisBalances}, c.args...).Int()
}

// Close is of Connection.
func (c *redisConnection) Close() error { return nil }
