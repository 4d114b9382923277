//! main.rs ADDRESS:PORT - hyper, HTTP/1.1 and HTTP/2 in clear at one port: what it is asked for decides what it does.
//! The same under /h2.

use hyper::body::{Body, Bytes, HttpBody, Sender};
use hyper::service::{make_service_fn, service_fn};
use hyper::{Request, Response, Server};
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

fn header<'a>(request: &'a Request<Body>, name: &str) -> &'a str {
    request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
}

/// Only sluice can connect, so the last address is the one that it saw.
fn who(request: &Request<Body>) -> String {
    let client = header(request, "x-forwarded-for").rsplit(',').next().unwrap_or("").trim();
    let host = request.uri().host().unwrap_or_else(|| header(request, "host"));
    format!(
        "client={}\nscheme={}\nhost={}\nproto={:?}\n",
        client,
        header(request, "x-forwarded-proto"),
        host,
        request.version()
    )
}

fn argument<'a>(request: &'a Request<Body>, name: &str) -> Option<&'a str> {
    let pairs = request.uri().query()?.split('&');
    pairs.filter_map(|p| p.split_once('=')).find(|(n, _)| *n == name).map(|(_, v)| v)
}

async fn upload(mut body: Body) -> Result<String, hyper::Error> {
    let (mut digest, mut bytes) = (md5::Context::new(), 0);
    while let Some(piece) = body.data().await {
        let piece = piece?;
        bytes += piece.len();
        digest.consume(&piece);
    }
    Ok(format!("bytes={}\nmd5={:x}\n", bytes, digest.compute()))
}

/// N times 64 KiB, each of one letter.
async fn big(mut out: Sender, n: usize) -> Result<(), hyper::Error> {
    for i in 0..n {
        out.send_data(Bytes::from(vec![b'a' + (i % 26) as u8; 65536])).await?;
    }
    Ok(())
}

/// Three server-sent events; the one after I comes when the file GATE.I is there: its client has had I.
async fn events(mut out: Sender, gate: String) -> Result<(), hyper::Error> {
    for i in 1..=3 {
        out.send_data(Bytes::from(format!("id: {}\ndata: event {}\n\n", i, i))).await?;
        while i < 3 && !Path::new(&format!("{}.{}", gate, i)).exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}

async fn answer(request: Request<Body>, name: String) -> Result<Response<Body>, hyper::Error> {
    let response = Response::builder().header("X-Instance", name);
    let (out, stream) = Body::channel();
    let path = request.uri().path();
    let body = match path.strip_prefix("/h2").unwrap_or(path) {
        "/upload" => Body::from(upload(request.into_body()).await?),
        "/big" => {
            let n = argument(&request, "n").and_then(|n| n.parse().ok()).unwrap_or(0);
            tokio::spawn(big(out, n));
            stream
        }
        "/events" => {
            tokio::spawn(events(out, argument(&request, "gate").unwrap_or("").to_string()));
            return Ok(response.header("Content-Type", "text/event-stream").body(stream).unwrap());
        }
        _ => Body::from(who(&request)),
    };
    Ok(response.body(body).unwrap())
}

async fn serve() {
    let address = std::env::args().nth(1).expect("ADDRESS:PORT").parse().expect("ADDRESS:PORT");
    let name = std::env::var("APP_NAME").unwrap_or_default();
    let make = make_service_fn(move |_| {
        let name = name.clone();
        async move { Ok::<_, Infallible>(service_fn(move |request| answer(request, name.clone()))) }
    });
    Server::bind(&address).serve(make).await.expect("listens");
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("threads").block_on(serve());
}
