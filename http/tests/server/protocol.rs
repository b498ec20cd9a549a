//! Routes, bodies and connections as a client sees them.

use std::process::Command;

use crate::support::Server;

#[test]
fn routes_are_exact() {
    let server = Server::examples(&[]);
    assert_eq!(server.get("/empty").status, 200);
    assert_eq!(server.get("/%65mpty?x=1").status, 200, "the path is decoded once");
    for path in [
        "/emptyXYZ",
        "/empty/",
        "/Empty",
        "//empty",
        "/empt",
        "/",
        "/empty%20",
        "/empty/x",
    ] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.reason()),
            (404, "no function at this path"),
            "{path}"
        );
    }
    for path in ["/%", "/empty%zz", "/a%2Fb", "/x/../empty", "/empty%00"] {
        assert_eq!(server.get(path).status, 400, "{path}");
    }
}

#[test]
fn a_body_beyond_the_limit_is_refused() {
    let wasm = std::fs::read(crate::support::functions_folder().join("wasm/echo.wasm")).expect("echo");
    let folder = crate::support::Folder::new();
    folder.write("echo.wasm", &wasm);
    let manifest = "[[function]]\nname = \"echo\"\nroute = \"/echo\"\nmodule = \"echo.wasm\"\nbody = \"64KiB\"\n\
                    content_type = \"text/x-test\"\n";
    let path = folder.write("luge.toml", manifest.as_bytes());
    let server = Server::start(crate::support::command(&[]).arg(path), Some(folder));
    let fits = vec![b'x'; 64 * 1024];
    let answer = server.post("/echo", &fits);
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/x-test"))
    );
    assert_eq!(answer.body, fits);
    let answer = server.post("/echo", &vec![b'x'; 64 * 1024 + 1]);
    assert_eq!(
        (answer.status, answer.reason()),
        (413, "body longer than 65536 bytes")
    );
    // Without a declared length the bound shows while the body comes.
    let mut client = server.connect();
    client.raw(b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = [b"8000\r\n".as_slice(), &[b'y'; 0x8000], b"\r\n"].concat();
    for _ in 0..3 {
        client.raw(&chunk);
    }
    let answer = client.answer("POST");
    assert_eq!(
        (answer.status, answer.reason()),
        (413, "chunked body longer than the limit")
    );
    assert!(client.is_closed());
    // Chunked within the bound is a body like any other.
    let mut client = server.connect();
    client.raw(b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_eq!(client.answer("POST").text(), "abcde");
}

#[test]
fn a_huge_cookie_is_fine() {
    let server = Server::examples(&[]);
    let cookie = format!("session={}", "c".repeat(16 * 1024));
    let answer = server
        .connect()
        .request("GET", "/cgi_env", &[("cookie", &cookie)], b"");
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains(&format!("HTTP_COOKIE={cookie}\n")));
}

#[test]
fn a_head_larger_than_an_environment_is_the_clients_fault() {
    let look = r#"(module
        (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (drop (call $sizes (i32.const 0) (i32.const 4)))))"#;
    let blind = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
    let functions = [("look", look, ""), ("blind", blind, "")];
    let server = Server::functions(&functions, "[limits]\nhead = \"1MiB\"", &["--cores", "1"]);
    let cookie = "c".repeat((1 << 20) - 100);
    let mut client = server.connect();
    let answer = client.request("GET", "/look", &[("cookie", &cookie)], b"");
    let reason = "head longer than a function's environment may be";
    assert_eq!((answer.status, answer.reason()), (431, reason));
    let answer = client.request("GET", "/blind", &[("cookie", &cookie)], b"");
    assert_eq!(answer.status, 200, "nobody looks, nothing is made");
}

#[test]
fn a_connection_is_kept_over_many_requests() {
    let server = Server::examples(&["--cores", "1"]);
    let mut client = server.connect();
    for number in 0..500 {
        let body = format!("body {number}");
        let answer = client.request("POST", "/echo", &[], body.as_bytes());
        assert_eq!((answer.status, answer.text()), (200, body));
    }
    assert_eq!(server.metric("luge_connections_accepted_total{shard=\"0\"}"), 1.0);
    assert_eq!(server.metric("luge_http_requests_total{shard=\"0\"}"), 500.0);
    assert_eq!(
        server.metric("luge_function_requests_total{function=\"echo\",class=\"2xx\"}"),
        500.0
    );
    // Several requests at once are answered in their order.
    for number in 0..10 {
        client.send("POST", "/echo", &[], format!("pipelined {number}").as_bytes());
    }
    for number in 0..10 {
        assert_eq!(client.answer("POST").text(), format!("pipelined {number}"));
    }
}

#[test]
fn more_connections_than_the_soft_limit_of_open_files() {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -S -n 64 && exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_luge"),
            "serve",
        ])
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let server = Server::start(&mut command, None);
    let mut clients: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.request("GET", "/empty", &[], b"").status, 200);
    }
    assert_eq!(server.metric("luge_accept_errors_total{shard=\"0\"}"), 0.0);
}

#[test]
fn a_server_starts_again_where_another_has_just_ended() {
    let mut first = Server::examples(&[]);
    let address = first.listen.to_string();
    // The server closes these first, so that its own end of each stays in TIME_WAIT.
    for _ in 0..4 {
        let mut client = first.connect();
        let answer = client.request("GET", "/empty", &[("Connection", "close")], b"");
        assert_eq!(answer.status, 200);
        assert!(client.is_closed());
    }
    first.signal("-TERM");
    assert!(first.wait().success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_luge"));
    command.args(["serve", "--listen", &address, "--admin", "127.0.0.1:0"]);
    let second = Server::start(&mut command, None);
    assert_eq!(second.listen.to_string(), address);
    assert_eq!(second.get("/empty").status, 200);
}

#[test]
fn head_is_answered_without_a_body() {
    let server = Server::examples(&[]);
    let mut client = server.connect();
    let answer = client.request("HEAD", "/fibonacci?n=10", &[], b"");
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("3")));
    assert_eq!(client.request("GET", "/fibonacci?n=10", &[], b"").text(), "55\n");
}
