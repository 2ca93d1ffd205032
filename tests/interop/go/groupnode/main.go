// Groupnode is a node of an unmodified golang/groupcache, run by the tests of interop.
//
// When it is ready it prints one line: its own URL, and the address of its admin listener.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/golang/groupcache"
	"github.com/golang/groupcache/consistenthash"
)

const (
	groupName  = "interop"
	cacheBytes = 64 << 20
	// What HTTPPool takes when its options name no number.
	replicas = 50
)

var (
	self   = flag.String("self", "http://127.0.0.1:0", "own `URL`, by which the peers know this node")
	peers  = flag.String("peers", "", "`URL,URL`: all nodes of the ring; only this one when empty")
	base   = flag.String("base", "/_groupcache/", "`path` below which peers are served")
	mux    = flag.Bool("mux", false, "mount the pool on a http.ServeMux, which cleans paths")
	delay  = flag.Duration("delay", 0, "how long each load takes at least")
	admin  = flag.String("admin", "127.0.0.1:0", "`address` of the admin listener")
	origin = flag.String("origin", "", "`URL` of the origin that loads are asked of")
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
	s.group = groupcache.NewGroup(groupName, cacheBytes, groupcache.GetterFunc(load))
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
