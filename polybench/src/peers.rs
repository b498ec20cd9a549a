//! Which other engines there are, and how each is started on this machine.
//!
//! | peer | needs | how |
//! |---|---|---|
//! | `liftoff`, `turbofan` | node on the path | V8, one of its compilers only; the script is part of this program |
//! | `winch`, `wasmtime` | cargo and the checkout | Wasmtime as a crate, with its baseline compiler or Cranelift |
//! | `wasmi` | cargo and the checkout | the interpreter, as a crate |
//! | `wasmer` | cargo and the checkout | Wasmer as a crate, with Cranelift |
//!
//! The crates are a workspace of their own with a lock file of its own (`peers/native`): what we compare with never enters
//! our dependencies. A new engine is a line in [`PEERS`] and, there, a program of some thirty lines.

use std::path::Path;
use std::process::Command;

use crate::contender::ContenderError;
use crate::peer::Peer;
use crate::scratch::Scratch;

/// V8 behind the line protocol.
const NODE_SCRIPT: &str = include_str!("../peers/node.mjs");

/// The workspace of the peers that are crates.
const NATIVE_MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/native/Cargo.toml");

/// A kind of peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerKind {
    /// Name on the command line and in tables.
    pub name: &'static str,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Node with these options beside those that all have.
    Node(&'static [&'static str]),
    /// The program of that name in `peers/native`, and the feature that it needs.
    Crate { program: &'static str },
}

/// All peers, baseline compilers first.
pub const PEERS: &[PeerKind] = &[
    PeerKind {
        name: "liftoff",
        // Without the last V8 11 tiers up all the same.
        how: How::Node(&["--liftoff", "--no-wasm-tier-up", "--no-wasm-dynamic-tiering"]),
    },
    PeerKind {
        name: "winch",
        how: How::Crate { program: "winch" },
    },
    PeerKind {
        name: "turbofan",
        how: How::Node(&["--no-liftoff"]),
    },
    PeerKind {
        name: "wasmtime",
        how: How::Crate { program: "wasmtime" },
    },
    PeerKind {
        name: "wasmer",
        how: How::Crate { program: "wasmer" },
    },
    PeerKind {
        name: "wasmi",
        how: How::Crate { program: "wasmi" },
    },
];

impl PeerKind {
    /// The peer of that name.
    pub fn named(name: &str) -> Option<PeerKind> {
        PEERS.iter().copied().find(|peer| peer.name == name)
    }

    /// Starts it and waits until it is ready; one that is a crate is built first, which takes minutes the first time.
    ///
    /// # Errors
    /// [`ContenderError::Unsupported`] where it cannot be had on this machine.
    pub fn start(self) -> Result<Peer, ContenderError> {
        match self.how {
            How::Node(options) => self.start_node(options),
            How::Crate { program } => {
                if !Path::new(NATIVE_MANIFEST).exists() {
                    let why =
                        "it is built from the source tree of luge, which is not where this program was built";
                    return Err(ContenderError::Unsupported(why.to_owned()));
                }
                // `cargo run` builds where needed and then becomes the program, standard input and output included.
                Peer::start(
                    self.name,
                    // In its folder, where the toolchain and the settings of the tree hold.
                    Command::new("cargo")
                        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/native"))
                        .args([
                            "run",
                            "--quiet",
                            "--release",
                            "--locked",
                            "--manifest-path",
                            NATIVE_MANIFEST,
                        ])
                        .args(["--features", program, "--bin", program]),
                )
            }
        }
    }

    fn start_node(self, options: &[&str]) -> Result<Peer, ContenderError> {
        let unwritten = |error: std::io::Error| {
            ContenderError::Failed(format!("cannot write the script for node: {error}"))
        };
        let folder = Scratch::new().map_err(unwritten)?;
        let script = folder.path().join("node.mjs");
        std::fs::write(&script, NODE_SCRIPT).map_err(unwritten)?;
        // Once it is ready it has read the script, so the folder may go.
        Peer::start(
            self.name,
            Command::new("node")
                .args([
                    "--single-threaded",
                    "--allow-natives-syntax",
                    "--no-wasm-lazy-compilation",
                ])
                .args(options)
                .arg(&script)
                .arg(self.name),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_found_by_their_names() {
        for peer in PEERS {
            assert_eq!(PeerKind::named(peer.name), Some(*peer));
        }
        assert_eq!(PeerKind::named("v8"), None);
    }

    #[test]
    fn the_workspace_of_the_peers_has_a_program_for_each_crate() {
        let manifest = std::fs::read_to_string(NATIVE_MANIFEST).expect("a part of the tree");
        for peer in PEERS {
            if let How::Crate { program } = peer.how {
                assert!(manifest.contains(&format!("name = \"{program}\"")), "{program}");
            }
        }
    }

    #[test]
    fn peers_say_the_versions_that_are_built() {
        let folder = Path::new(NATIVE_MANIFEST).with_file_name("src/bin");
        let manifest = std::fs::read_to_string(NATIVE_MANIFEST).expect("a part of the tree");
        for (krate, programs) in [
            ("wasmi", &["wasmi"][..]),
            ("wasmtime", &["wasmtime", "winch"]),
            ("wasmer", &["wasmer"]),
        ] {
            let pin = format!("{krate} = {{ version = \"=");
            let version = manifest
                .split(&pin)
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            let said = format!("\"{krate} {}", version.expect("an exact version"));
            for program in programs {
                let path = folder.join(program).with_extension("rs");
                let source = std::fs::read_to_string(path).expect("a part of the tree");
                assert!(source.contains(&said), "{program}: no {said}");
            }
        }
    }
}
