// Standin speaks the wire of mailgun/groupcache v2 and groupcache-go v3 with Go's standard
// library, as a server with scripted answers and as a client, for the tests of interop.
//
// When it is ready it prints one line: its own URL, and the address of its admin listener.
package main

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

const (
	groupName = "interop"
	base      = "/_groupcache/"
)

var (
	self   = flag.String("self", "http://127.0.0.1:0", "own `URL`")
	admin  = flag.String("admin", "127.0.0.1:0", "`address` of the admin listener")
	family = flag.String("family", "mailgun", "whose habits to have: mailgun or groupcache-go")
)

// A sighting is a request as it came.
type sighting struct {
	Method string
	Target string
	Host   string
	Body   string // in hex
}

// A server answers by the script, and remembers what it was asked.
type server struct {
	mu   sync.Mutex // guards seen
	seen []sighting
}

func main() {
	flag.Parse()
	log.SetFlags(0)
	log.SetPrefix("standin: ")
	peerListener, err := net.Listen("tcp", strings.TrimPrefix(*self, "http://"))
	if err != nil {
		log.Fatal(err)
	}
	adminListener, err := net.Listen("tcp", *admin)
	if err != nil {
		log.Fatal(err)
	}
	s := new(server)
	m := http.NewServeMux()
	m.HandleFunc("/ask", handleAsk)
	m.HandleFunc("/seen", s.handleSeen)
	go func() { log.Fatal(http.Serve(peerListener, s)) }()
	fmt.Printf("http://%s %s\n", peerListener.Addr(), adminListener.Addr())
	log.Fatal(http.Serve(adminListener, m))
}

func (s *server) handleSeen(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	json.NewEncoder(w).Encode(s.seen)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.seen = append(s.seen, sighting{r.Method, r.RequestURI, r.Host, hex.EncodeToString(body)})
	s.mu.Unlock()

	// As the libraries do: the path is decoded as a path, so a plus is a plus.
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, base), "/", 2)
	if !strings.HasPrefix(r.URL.Path, base) || len(parts) != 2 {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	if parts[0] != groupName {
		noSuchGroup(w, parts[0])
		return
	}
	if r.Method != http.MethodGet {
		return // 200 and nothing, as for a PUT or DELETE
	}
	answer(w, r, parts[1])
}

// noSuchGroup is a 404 in mailgun; groupcache-go panics, so the connection ends.
func noSuchGroup(w http.ResponseWriter, group string) {
	if *family == "groupcache-go" {
		panic(http.ErrAbortHandler)
	}
	http.Error(w, "no such group: "+group, http.StatusNotFound)
}

// answer does what the word before the key's colon says.
func answer(w http.ResponseWriter, r *http.Request, key string) {
	word, rest, _ := strings.Cut(key, ":")
	switch word {
	case "notfound":
		http.Error(w, "value not found", http.StatusNotFound)
	case "remote":
		http.Error(w, "the getter failed", http.StatusServiceUnavailable)
	case "error":
		http.Error(w, "something else failed", http.StatusInternalServerError)
	case "nogroup":
		noSuchGroup(w, groupName)
	case "eof":
		panic(http.ErrAbortHandler)
	case "redirect":
		http.Redirect(w, r, base+groupName+"/elsewhere", http.StatusMovedPermanently)
	case "garbage":
		w.Write([]byte("\x0a\xff\xff\xff\xff\x0fno message"))
	case "cut":
		message := encodeResponse("value of "+key, 0)
		w.Header().Set("Content-Length", strconv.Itoa(len(message)))
		w.Write(message[:len(message)/2])
		panic(http.ErrAbortHandler)
	case "expire": // expire:NANOSECONDS:...
		nanos, _, _ := strings.Cut(rest, ":")
		expire, _ := strconv.ParseInt(nanos, 10, 64)
		writeValue(w, encodeResponse("value of "+key, expire))
	case "large": // large:BYTES:...; without a Content-Length, as Go sends what is over 2 KB
		size, _, _ := strings.Cut(rest, ":")
		n, _ := strconv.Atoi(size)
		writeValue(w, encodeResponse(strings.Repeat("v", n), 0))
	default:
		writeValue(w, encodeResponse("value of "+key, 0))
	}
}

func writeValue(w http.ResponseWriter, message []byte) {
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.Write(message)
}

// An outcome is what a peer answered to handleAsk.
type outcome struct {
	Error  string // of the transport
	Status int
	Header http.Header
	Text   string    // of an answer other than 200
	Value  *response // of a 200 with a body
}

// handleAsk makes a request to a peer as the libraries do.
func handleAsk(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	req, err := request(query)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var told outcome
	// RoundTrip follows no redirects.
	res, err := http.DefaultTransport.RoundTrip(req.WithContext(r.Context()))
	if err != nil {
		told.Error = err.Error()
	} else {
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		told.Status, told.Header = res.StatusCode, res.Header
		if res.StatusCode != http.StatusOK {
			told.Text = string(body)
		} else if told.Value, err = decodeResponse(body); err != nil {
			told.Error = err.Error()
		}
	}
	json.NewEncoder(w).Encode(told)
}

// request is made of peer, group and key, and for a PUT also of value and expire. The body
// says bodygroup and bodykey, if they are there, in place of what the path says.
func request(query url.Values) (*http.Request, error) {
	group, key := query.Get("group"), query.Get("key")
	below := query.Get("peer") + or(query, "base", base) + url.PathEscape(group)
	target := below + "/" + url.PathEscape(key)
	method, body := query.Get("method"), ""
	switch method {
	case http.MethodPut:
		expire, _ := strconv.ParseInt(query.Get("expire"), 10, 64)
		group, key = or(query, "bodygroup", group), or(query, "bodykey", key)
		body = string(encodeSet(group, key, query.Get("value"), expire))
	case http.MethodPost:
		target = below + "/_remove-keys/"
		list := struct {
			Group string   `json:"group"`
			Keys  []string `json:"keys"`
		}{or(query, "bodygroup", group), query["key"]}
		encoded, err := json.Marshal(list)
		if err != nil {
			return nil, err
		}
		body = string(encoded)
	}
	return http.NewRequest(method, target, strings.NewReader(body))
}

func or(query url.Values, name, otherwise string) string {
	if query.Has(name) {
		return query.Get(name)
	}
	return otherwise
}
