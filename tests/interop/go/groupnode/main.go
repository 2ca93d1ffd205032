// Groupnode is a node of an unmodified golang/groupcache, run by the tests of interop.
//
// When it is ready it prints one line: its own URL, and the address of its admin listener.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang/groupcache"
	"github.com/golang/groupcache/consistenthash"
)

const (
	groupName = "interop"
	// What HTTPPool takes when its options name no number.
	replicas = 50
	// A prime, so that each thread can walk over all keys in steps of its own: threads in
	// step would share hops.
	hopKeys = 4093
)

var (
	self   = flag.String("self", "http://127.0.0.1:0", "own `URL`, by which the peers know this node")
	peers  = flag.String("peers", "", "`URL,URL`: all nodes of the ring; only this one when empty")
	base   = flag.String("base", "/_groupcache/", "`path` below which peers are served")
	mux    = flag.Bool("mux", false, "mount the pool on a http.ServeMux, which cleans paths")
	delay  = flag.Duration("delay", 0, "how long each load takes at least")
	admin  = flag.String("admin", "127.0.0.1:0", "`address` of the admin listener")
	origin = flag.String("origin", "", "`URL` of the origin that loads are asked of; without one, key N:... has N bytes")
	cache  = flag.Int64("cache", 64<<20, "`bytes` of the cache; 0 keeps nothing")
	node   = flag.String("node", "go", "`name` of this node at the origin")
)

// A server is a node with what its admin listener needs.
type server struct {
	self  string
	pool  *groupcache.HTTPPool
	group *groupcache.Group

	mu   sync.Mutex // guards ring
	ring *consistenthash.Map
}

func main() {
	flag.Parse()
	log.SetFlags(0)
	log.SetPrefix(*node + ": ")

	peerListener, err := net.Listen("tcp", strings.TrimPrefix(*self, "http://"))
	if err != nil {
		log.Fatal(err)
	}
	adminListener, err := net.Listen("tcp", *admin)
	if err != nil {
		log.Fatal(err)
	}

	s := &server{self: "http://" + peerListener.Addr().String()}
	s.pool = groupcache.NewHTTPPoolOpts(s.self, &groupcache.HTTPPoolOptions{BasePath: *base})
	s.group = groupcache.NewGroup(groupName, *cache, groupcache.GetterFunc(load))
	if *peers == "" {
		*peers = s.self
	}
	s.setPeers(strings.Split(*peers, ","))

	var handler http.Handler = s.pool
	if *mux {
		m := http.NewServeMux()
		m.Handle(*base, s.pool)
		handler = m
	}
	go func() { log.Fatal(http.Serve(peerListener, handler)) }()
	fmt.Println(s.self, adminListener.Addr())
	log.Fatal(http.Serve(adminListener, s.adminHandler()))
}

// load asks the origin, which counts.
func load(_ context.Context, key string, dest groupcache.Sink) error {
	time.Sleep(*delay)
	if *origin == "" {
		size, _, _ := strings.Cut(key, ":")
		n, err := strconv.Atoi(size)
		if err != nil {
			return err
		}
		return dest.SetBytes(bytes.Repeat([]byte("v"), n))
	}
	query := url.Values{"node": {*node}, "key": {key}}
	res, err := http.Get(*origin + "/load?" + query.Encode())
	if err != nil {
		return err
	}
	defer res.Body.Close()
	value, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the origin says %s: %s", res.Status, value)
	}
	return dest.SetBytes(value)
}

// setPeers sets the pool's ring, and one like it: the pool does not tell owners by name.
func (s *server) setPeers(peers []string) {
	ring := consistenthash.New(replicas, nil)
	ring.Add(peers...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring = ring
	s.pool.Set(peers...)
}

func (s *server) adminHandler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("/get", s.handleGet)
	m.HandleFunc("/hop", s.handleHop)
	m.HandleFunc("/owner", s.handleOwner)
	m.HandleFunc("/peers", s.handlePeers)
	m.HandleFunc("/stats", s.handleStats)
	return m
}

func (s *server) handleGet(w http.ResponseWriter, r *http.Request) {
	var value []byte
	key := r.URL.Query().Get("key")
	if err := s.group.Get(r.Context(), key, groupcache.AllocatingByteSliceSink(&value)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Write(value)
}

// handleHop gets keys that peers own, from many threads, and tells how many a second, and how
// many nanoseconds half of them and 99 in 100 took at most.
func (s *server) handleHop(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	threads, err := strconv.Atoi(query.Get("threads"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	keys := s.othersKeys(query.Get("prefix"), hopKeys)
	span, err := time.ParseDuration(query.Get("span"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var failures int64
	var done sync.WaitGroup
	latencies := make([][]time.Duration, threads)
	started := time.Now()
	for thread := 0; thread < threads; thread++ {
		done.Add(1)
		go func(thread int) {
			defer done.Done()
			for n := thread; time.Since(started) < span; n += 2*thread + 1 {
				var value []byte
				sink := groupcache.AllocatingByteSliceSink(&value)
				asked := time.Now()
				if s.group.Get(r.Context(), keys[n%len(keys)], sink) != nil {
					atomic.AddInt64(&failures, 1)
				}
				latencies[thread] = append(latencies[thread], time.Since(asked))
			}
		}(thread)
	}
	done.Wait()
	took := time.Since(started)
	var all []time.Duration
	for _, some := range latencies {
		all = append(all, some...)
	}
	if failures > 0 {
		http.Error(w, fmt.Sprintf("%d of %d gets failed", failures, len(all)), http.StatusInternalServerError)
		return
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	fmt.Fprintln(w, float64(len(all))/took.Seconds(),
		all[(len(all)-1)/2].Nanoseconds(), all[(len(all)-1)*99/100].Nanoseconds())
}

// othersKeys are the first n keys of this prefix that are not this node's own.
func (s *server) othersKeys(prefix string, n int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for i := 0; len(keys) < n; i++ {
		if key := prefix + strconv.Itoa(i); s.ring.Get(key) != s.self {
			keys = append(keys, key)
		}
	}
	return keys
}

func (s *server) handleOwner(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	io.WriteString(w, s.ring.Get(r.URL.Query().Get("key")))
}

func (s *server) handlePeers(w http.ResponseWriter, r *http.Request) {
	list, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost {
		http.Error(w, "POST a list of URLs with commas", http.StatusBadRequest)
		return
	}
	s.setPeers(strings.Split(string(list), ","))
}

func (s *server) handleStats(w http.ResponseWriter, r *http.Request) {
	stats := &s.group.Stats
	json.NewEncoder(w).Encode(map[string]interface{}{
		"gets":            stats.Gets.Get(),
		"cache_hits":      stats.CacheHits.Get(),
		"peer_loads":      stats.PeerLoads.Get(),
		"peer_errors":     stats.PeerErrors.Get(),
		"loads":           stats.Loads.Get(),
		"loads_deduped":   stats.LoadsDeduped.Get(),
		"local_loads":     stats.LocalLoads.Get(),
		"local_load_errs": stats.LocalLoadErrs.Get(),
		"server_requests": stats.ServerRequests.Get(),
		"main":            s.group.CacheStats(groupcache.MainCache),
		"hot":             s.group.CacheStats(groupcache.HotCache),
	})
}
