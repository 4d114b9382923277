// main.go ADDRESS:PORT - net/http with HTTP/1.1, HTTP/2 in clear, gRPC and a WebSocket at one port. What it is
// asked for decides what it does. The same under /h2.
package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/golang/protobuf/ptypes/wrappers"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
	"golang.org/x/net/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

var name = os.Getenv("APP_NAME")

// Only sluice can connect, so the last address is the one that it saw.
func client(forwarded string) string {
	all := strings.Split(forwarded, ",")
	return strings.TrimSpace(all[len(all)-1])
}

func who(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "client=%s\nscheme=%s\nhost=%s\nproto=%s\n", client(r.Header.Get("X-Forwarded-For")),
		r.Header.Get("X-Forwarded-Proto"), r.Host, r.Proto)
}

func upload(w http.ResponseWriter, r *http.Request) {
	digest := md5.New()
	n, err := io.Copy(digest, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "bytes=%d\nmd5=%x\n", n, digest.Sum(nil))
}

// N times 64 KiB, each of one letter.
func big(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.FormValue("n"))
	for i := 0; i < n; i++ {
		if _, err := w.Write(bytes.Repeat([]byte{byte('a' + i%26)}, 65536)); err != nil {
			return
		}
	}
}

// Three server-sent events; the one after I comes when the file GATE.I is there: its client has had I.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i := 1; i <= 3; i++ {
		fmt.Fprintf(w, "id: %d\ndata: event %d\n\n", i, i)
		w.(http.Flusher).Flush()
		gate := fmt.Sprintf("%s.%d", r.FormValue("gate"), i)
		for _, err := os.Stat(gate); i < 3 && err != nil && r.Context().Err() == nil; _, err = os.Stat(gate) {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func echo(ws *websocket.Conn) {
	defer ws.Close() // answers the client's
	ws.MaxPayloadBytes = 1 << 26
	for {
		var message []byte
		if websocket.Message.Receive(ws, &message) != nil || websocket.Message.Send(ws, message) != nil {
			return
		}
	}
}

// ---- gRPC, without generated code: messages are google.protobuf.BytesValue -----------------------

func handle(answer func(ctx context.Context, in []byte) []byte) func(interface{}, context.Context,
	func(interface{}) error, grpc.UnaryServerInterceptor) (interface{}, error) {
	return func(_ interface{}, ctx context.Context, decode func(interface{}) error,
		_ grpc.UnaryServerInterceptor) (interface{}, error) {
		in := new(wrappers.BytesValue)
		if err := decode(in); err != nil {
			return nil, err
		}
		return &wrappers.BytesValue{Value: answer(ctx, in.Value)}, nil
	}
}

func whoAsks(ctx context.Context, _ []byte) []byte {
	meta, _ := metadata.FromIncomingContext(ctx)
	grpc.SetTrailer(ctx, metadata.Pairs("x-instance", name))
	return []byte(fmt.Sprintf("client=%s\nscheme=%s\n", client(strings.Join(meta["x-forwarded-for"], ",")),
		strings.Join(meta["x-forwarded-proto"], "")))
}

func turns(_ context.Context, in []byte) []byte {
	for i, j := 0, len(in)-1; i < j; i, j = i+1, j-1 {
		in[i], in[j] = in[j], in[i]
	}
	return in
}

func talks(_ interface{}, stream grpc.ServerStream) error {
	for {
		in := new(wrappers.BytesValue)
		if err := stream.RecvMsg(in); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(&wrappers.BytesValue{Value: bytes.ToUpper(in.Value)}); err != nil {
			return err
		}
	}
}

func services() *grpc.Server {
	s := grpc.NewServer(grpc.MaxRecvMsgSize(1<<27), grpc.MaxSendMsgSize(1<<27))
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.App",
		HandlerType: (*interface{})(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "who", Handler: handle(whoAsks)}, {MethodName: "turns", Handler: handle(turns)}},
		Streams:     []grpc.StreamDesc{{StreamName: "talks", Handler: talks, ServerStreams: true, ClientStreams: true}},
	}, struct{}{})
	healthpb.RegisterHealthServer(s, health.NewServer())
	return s
}

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", who)
	mux.HandleFunc("/upload", upload)
	mux.HandleFunc("/big", big)
	mux.HandleFunc("/events", events)
	mux.Handle("/ws", websocket.Server{Handler: echo})
	mux.Handle("/h2/", http.StripPrefix("/h2", mux))
	calls := services()
	all := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			calls.ServeHTTP(w, r)
			return
		}
		w.Header().Set("X-Instance", name)
		mux.ServeHTTP(w, r)
	})
	server := &http.Server{
		Addr:        os.Args[1],
		Handler:     h2c.NewHandler(all, &http2.Server{}),
		IdleTimeout: 75 * time.Second, // longer than sluice keeps an idle connection
	}
	log.Fatal(server.ListenAndServe())
}
