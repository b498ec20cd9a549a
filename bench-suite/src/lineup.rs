//! Who takes part in a run: the tiers and peers that the command line names and this machine has.

use crate::contender::{TIERS, Tiers};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use luge_polybench::contender::{Contender, ContenderError};
use luge_polybench::peers::PEERS;
use std::time::Duration;

/// The engine whose figures the others are divided by, if nothing else is said.
pub const REFERENCE: &str = "liftoff";

/// Options that choose engines.
#[derive(Debug, Args)]
pub struct Lineup {
    /// Our own tiers, separated by commas; all when the option is not given.
    #[arg(long, value_delimiter = ',', num_args = 0..)]
    tiers: Option<Vec<String>>,
    /// Other engines; all when the option is not given. One that cannot be had is left out with a notice.
    #[arg(long, value_delimiter = ',', num_args = 0..)]
    peers: Option<Vec<String>>,
}

impl Lineup {
    /// Starts our tiers, then the peers that can be had. Those tiers that are preempted take part where there is a period for it.
    ///
    /// # Errors
    /// Where a name is unknown, a peer misbehaves, or nobody is left.
    pub fn start(&self, backstop: Option<Duration>) -> Result<Vec<Box<dyn Contender>>> {
        let ours = || {
            TIERS
                .iter()
                .filter(|tier| backstop.is_some() || tier.preempts.is_none())
        };
        let tier_names: Vec<_> = ours().map(|tier| tier.name).collect();
        let peer_names: Vec<_> = PEERS.iter().map(|peer| peer.name).collect();
        let tiers = chosen("tier", self.tiers.as_deref(), &tier_names)?;
        let peers = chosen("peer", self.peers.as_deref(), &peer_names)?;
        let mut engines: Vec<Box<dyn Contender>> = Vec::new();
        let mut started = Tiers::new(backstop.unwrap_or_default());
        for tier in ours().filter(|tier| tiers.contains(&tier.name)) {
            match started.start(*tier) {
                Ok(tier) => engines.push(Box::new(tier)),
                Err(error) => eprintln!("notice: no {}: {error}", tier.name),
            }
        }
        for peer in PEERS.iter().filter(|peer| peers.contains(&peer.name)) {
            match peer.start() {
                Ok(peer) => engines.push(Box::new(peer)),
                Err(ContenderError::Unsupported(why)) => eprintln!("notice: no {}: {why}", peer.name),
                Err(error) => return Err(error).with_context(|| peer.name.to_owned()),
            }
        }
        ensure!(!engines.is_empty(), "there is no engine to run anything on");
        Ok(engines)
    }
}

/// The known names that were asked for, in the order in which they are known; all where nothing was asked.
///
/// # Errors
/// Where a name is unknown.
pub fn chosen<'a>(what: &str, asked: Option<&[String]>, known: &[&'a str]) -> Result<Vec<&'a str>> {
    let Some(asked) = asked else {
        return Ok(known.to_vec());
    };
    if let Some(unknown) = asked.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no {what} `{unknown}`; there are {}", known.join(", "));
    }
    let wanted = known
        .iter()
        .copied()
        .filter(|name| asked.iter().any(|asked| asked == name));
    Ok(wanted.collect())
}

/// Where the reference stands among the engines, if it takes part.
pub fn reference(engines: &[Box<dyn Contender>], name: &str) -> Option<usize> {
    engines.iter().position(|engine| engine.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let known = ["a", "b"];
        assert_eq!(chosen("tier", None, &known).expect("all"), known);
        assert_eq!(
            chosen("tier", Some(&["b".to_owned()]), &known).expect("one"),
            ["b"]
        );
        assert!(chosen("tier", Some(&[]), &known).expect("none").is_empty());
        let error = chosen("tier", Some(&["c".to_owned()]), &known).expect_err("unknown");
        assert!(error.to_string().contains("a, b"), "{error}");
    }
}
