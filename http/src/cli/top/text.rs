//! The text format of metrics, as far as it is needed to read our own: lines of a name, labels and a number.
//!
//! ```text
//!   luge_stolen_total{shard="1"} 42 1770000000 # {trace="..."} 1
//!   name              labels     value, and what is passed over: a time, an exemplar
//! ```
//! That is the common part of OpenMetrics 1.0 and of Prometheus' own format 0.0.4. Comments, `# HELP` and `# TYPE` among them,
//! are passed over too.

use std::borrow::Cow;

/// One line's number.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample<'a> {
    pub(super) name: &'a str,
    labels: Vec<(&'a str, Cow<'a, str>)>,
    pub(super) value: f64,
}

/// The text is no metrics.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is no metric: {text:?}")]
pub struct NoMetric {
    /// Counted from 1.
    line: usize,
    /// How the line begins.
    text: String,
}

/// Reads all lines.
pub(super) fn samples(text: &str) -> impl Iterator<Item = Result<Sample<'_>, NoMetric>> {
    let lines = text.lines().enumerate();
    let told = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    told.map(|(index, line)| {
        Sample::parse(line).ok_or_else(|| NoMetric {
            line: index + 1,
            text: line.chars().take(60).collect(),
        })
    })
}

impl<'a> Sample<'a> {
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        let mut labels = self.labels.iter();
        labels.find_map(|(label, value)| (*label == name).then_some(value.as_ref()))
    }

    fn parse(line: &'a str) -> Option<Sample<'a>> {
        let end = line.find(['{', ' ', '\t'])?;
        let (name, mut rest) = line.split_at(end);
        let mut labels = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            (labels, rest) = labels_of(inside)?;
        }
        let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
        (!name.is_empty()).then_some(Sample { name, labels, value })
    }
}

type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// The labels, and what follows their brace.
fn labels_of(mut text: &str) -> Option<(Labels<'_>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start();
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once('=')?;
        let (value, rest) = quoted(rest.trim_start().strip_prefix('"')?)?;
        labels.push((name.trim(), value));
        let rest = rest.trim_start();
        text = rest.strip_prefix(',').unwrap_or(rest);
        if !rest.starts_with([',', '}']) {
            return None;
        }
    }
}

/// What stands before the closing quote, with `\\`, `\"` and `\n` resolved, and what stands after it.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text[end..].starts_with('"') {
        return Some((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((Cow::Owned(value), &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                escaped @ ('"' | '\\') => escaped,
                _ => return None,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample<'a>(name: &'a str, labels: &[(&'a str, &'a str)], value: f64) -> Sample<'a> {
        let labels = labels.iter().map(|&(label, value)| (label, Cow::Borrowed(value)));
        Sample {
            name,
            labels: labels.collect(),
            value,
        }
    }

    #[test]
    fn names_labels_and_numbers_are_found() {
        let infinite = [("shard", "0"), ("le", "+Inf")];
        for (line, expected) in [
            ("up 1", sample("up", &[], 1.0)),
            ("a{} 2.5e-7", sample("a", &[], 2.5e-7)),
            (r#"a{shard="0"} 3"#, sample("a", &[("shard", "0")], 3.0)),
            (
                r#"a{shard="0",le="+Inf",} 4 1770000000.5"#,
                sample("a", &infinite, 4.0),
            ),
            (
                r#"a{ b = "c" , d="e"}5 # {x="y"} 1"#,
                sample("a", &[("b", "c"), ("d", "e")], 5.0),
            ),
            (
                r#"a{b="say \"}\" \\ \n"} 6"#,
                sample("a", &[("b", "say \"}\" \\ \n")], 6.0),
            ),
            ("a +Inf", sample("a", &[], f64::INFINITY)),
        ] {
            assert_eq!(Sample::parse(line), Some(expected), "{line}");
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            "a",
            "a b",
            "a{ 1",
            r#"a{b} 1"#,
            r#"a{b="c} 1"#,
            r#"a{b="c"d="e"} 1"#,
            r#"a{b="\t"} 1"#,
            r#"{b="c"} 1"#,
            r#"a{b="c"}"#,
            "<html>",
            r#"a{b="\"#,
        ] {
            assert_eq!(Sample::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_text_tells_which_of_its_lines_is_wrong() {
        let text = "# HELP a b\n# TYPE a gauge\na 1\n\nb{c=\"d\"} 2\n# EOF\n";
        let found: Result<Vec<Sample<'_>>, NoMetric> = samples(text).collect();
        let found = found.unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].label("c"), found[1].label("e")), (Some("d"), None));
        let wrong = samples("a 1\n404 not found\n").find_map(Result::err).unwrap();
        assert_eq!(wrong.to_string(), "line 2 is no metric: \"404 not found\"");
    }
}
