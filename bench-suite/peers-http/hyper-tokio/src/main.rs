//! The smallest server on hyper and tokio: every request is answered with 200 and an empty body, as the function `empty`
//! answers. What it costs is what HTTP alone costs on a well-made stack where nothing runs.
//!
//! ```text
//!     hyper-tokio THREADS
//! ```
//!
//! It listens on a port of the system's choice, on loopback, and prints its address. With one thread it runs on tokio's
//! scheduler for one thread, which is the cheaper one there; with more on the one for many, as a server of that size would.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::io::Write;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

fn main() -> std::io::Result<()> {
    let threads = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    let runtime = if threads == 1 {
        Builder::new_current_thread().enable_io().build()?
    } else {
        Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_io()
            .build()?
    };
    runtime.block_on(serve())
}

async fn serve() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let answer = service_fn(async |_| Ok::<_, Infallible>(Response::new(Full::new(Bytes::new()))));
            // A client that goes away is no error of the server.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}
