//! Rust source with everything that is not code blanked out.
//!
//! A rule that looks for a word must not find it in a comment or a string. This is the lexer's outermost layer only:
//! comments (nested blocks), string literals (plain, byte, C, raw), character literals as against lifetimes. Each blanked
//! byte becomes a space and newlines stay, so offsets and line numbers are those of the source.

/// Returns `source` with comments and the contents of literals replaced by spaces.
pub(super) fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => block_comment_end(bytes, at),
            b'"' => quoted_end(bytes, at + 1, b'"'),
            b'r' if !continues_word(bytes, at) => raw_string_end(bytes, at).unwrap_or(at + 1),
            b'\'' => char_literal_end(bytes, at).unwrap_or(at + 1),
            _ => at + 1,
        };
        if end > at + 1 {
            blank(&mut code[at..end]);
        }
        at = end;
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// The 1-based lines of `code` in which `word` stands as a whole word.
pub(super) fn lines_with_word<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.lines().enumerate().filter_map(move |(index, line)| {
        line.split(|c| !is_word(c))
            .any(|found| found == word)
            .then_some(index + 1)
    })
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..]
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(bytes.len(), |length| at + length)
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'/', Some(b'*')) => (depth, at) = (depth + 1, at + 2),
            (b'*', Some(b'/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

/// End of a literal whose contents begin at `at`, past its closing `quote`.
fn quoted_end(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Whether the byte at `at` goes on an identifier, as the `r` of `for` does. The prefixes of `br""` and `cr""` do not count.
fn continues_word(bytes: &[u8], at: usize) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let before = at.checked_sub(1).map(|index| bytes[index]);
    match before {
        Some(b'b' | b'c') => at >= 2 && is_word(bytes[at - 2]),
        Some(byte) => is_word(byte),
        None => false,
    }
}

fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    let open = at + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let closing: Vec<u8> = std::iter::once(b'"')
        .chain(std::iter::repeat_n(b'#', hashes))
        .collect();
    let length = bytes[open + 1..]
        .windows(closing.len())
        .position(|window| window == closing);
    Some(length.map_or(bytes.len(), |length| open + 1 + length + closing.len()))
}

/// End of a character literal that begins at `at`; `None` where the quote begins a lifetime.
fn char_literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        return Some(quoted_end(bytes, at + 1, b'\''));
    }
    let text = std::str::from_utf8(&bytes[at + 1..bytes.len().min(at + 6)]);
    let width = match text {
        Ok(text) => text.chars().next()?.len_utf8(),
        // Cut inside a later character: the first is whole.
        Err(error) if error.valid_up_to() > 0 => {
            std::str::from_utf8(&bytes[at + 1..at + 1 + error.valid_up_to()])
                .ok()?
                .chars()
                .next()?
                .len_utf8()
        }
        Err(_) => return None,
    };
    (bytes.get(at + 1 + width) == Some(&b'\'')).then_some(at + 2 + width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_code_stays() {
        let cases = [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x\"y") + g"#, "f(      ) + g"),
            (r###"h(r#"x"y"#, br"z")"###, "h(        , b    )"),
            ("for x in 'a'..='\\'' {}", "for x in    ..=     {}"),
            ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
            ("'é' + 'ü'", "     +     "),
        ];
        for (source, expected) in cases {
            assert_eq!(code_only(source), expected, "{source}");
        }
    }

    #[test]
    fn an_unclosed_literal_ends_with_the_file() {
        for source in ["a \"b", "a /* b", "a r#\"b", "a '\\"] {
            assert_eq!(code_only(source).trim_end(), "a", "{source}");
        }
    }

    #[test]
    fn a_word_is_found_whole_and_by_line() {
        let code = "one\nthe_word words word_\n(word)";
        assert_eq!(lines_with_word(code, "word").collect::<Vec<_>>(), [3]);
    }
}
