//! The example functions inside the program, so that `luge serve` without a manifest shows something at once.
//!
//! Their sources stand in `functions/` of the repository.

use std::time::Duration;

use hyper::header::HeaderValue;

use crate::config::{FunctionConfig, Mode, ModuleSource};

/// An embedded function and how to try it.
struct Example {
    name: &'static str,
    wasm: &'static [u8],
    mode: Mode,
    content_type: Option<&'static str>,
    /// What `curl` gets before the URL.
    options: &'static str,
    /// What follows the path of the URL.
    query: &'static str,
}

macro_rules! embedded {
    ($name:literal) => {
        include_bytes!(concat!("../../functions/wasm/", $name, ".wasm"))
    };
}

const TEXT: Option<&str> = Some("text/plain; charset=utf-8");

const EXAMPLES: [Example; 8] = [
    Example {
        name: "empty",
        wasm: embedded!("empty"),
        mode: Mode::Raw,
        content_type: TEXT,
        options: "-i",
        query: "",
    },
    Example {
        name: "echo",
        wasm: embedded!("echo"),
        mode: Mode::Raw,
        content_type: Some("application/octet-stream"),
        options: "-d 'Hello, Luge'",
        query: "",
    },
    Example {
        name: "fibonacci",
        wasm: embedded!("fibonacci"),
        mode: Mode::Raw,
        content_type: TEXT,
        options: "",
        query: "?n=20",
    },
    Example {
        name: "hash",
        wasm: embedded!("hash"),
        mode: Mode::Raw,
        content_type: TEXT,
        options: "-d abc",
        query: "",
    },
    Example {
        name: "ekf",
        wasm: embedded!("ekf"),
        mode: Mode::Raw,
        content_type: TEXT,
        options: "--data-binary @functions/inputs/track.txt",
        query: "",
    },
    Example {
        name: "cgi_env",
        wasm: embedded!("cgi_env"),
        mode: Mode::Cgi,
        content_type: None,
        options: "",
        query: "?status=418",
    },
    Example {
        name: "resize",
        wasm: embedded!("resize"),
        mode: Mode::Cgi,
        content_type: None,
        options: "--data-binary @functions/inputs/roadside.png -o small.png",
        query: "?w=320",
    },
    Example {
        name: "png2bmp",
        wasm: embedded!("png2bmp"),
        mode: Mode::Cgi,
        content_type: None,
        options: "--data-binary @functions/inputs/roadside.png -o roadside.bmp",
        query: "",
    },
];

/// The configurations of the example functions, each at the route of its name.
#[must_use]
pub fn functions() -> Vec<FunctionConfig> {
    EXAMPLES.iter().map(function).collect()
}

fn function(example: &Example) -> FunctionConfig {
    let route = format!("/{}", example.name);
    let mut function = FunctionConfig::new(
        example.name.to_owned(),
        route,
        ModuleSource::Embedded(example.wasm),
    );
    function.mode = example.mode;
    function.content_type = example.content_type.map(HeaderValue::from_static);
    // Pictures take an interpreter seconds.
    function.deadline = Duration::from_secs(60);
    function.cpu = Duration::from_secs(30);
    function.memory_pages = 4096;
    function.body_bytes = 16 << 20;
    function.response_bytes = 64 << 20;
    function
}

/// A line for a shell for each example, against a server at `base` (`http://127.0.0.1:8080`).
pub fn curl_lines(base: &str) -> impl Iterator<Item = String> {
    EXAMPLES.iter().map(move |example| {
        let Example {
            name, options, query, ..
        } = example;
        let space = if options.is_empty() { "" } else { " " };
        format!("curl {options}{space}'{base}/{name}{query}'")
    })
}
