//! Classes of bytes, and how far a run of one class reaches.
//!
//! Every byte of a head is looked at for its end, most of them again as part of a name or a target, and then by the parser;
//! so the looks are cheap ones. The search for a line's end takes eight bytes at a time, as arithmetic on a word
//! (H. S. Warren, "Hacker's Delight", section 6-1): where no byte can be a control character, none is looked at. The
//! others are short, and look into one table of a bit for each class.

/// What field values may hold: visible ASCII, blanks, and bytes from 128 up (`obs-text`), but no control character.
const TEXT: u8 = 1;
/// `tchar` of RFC 9110, section 5.6.2: what methods and field names are made of.
const TOKEN: u8 = 2;
/// RFC 3986's characters of paths and queries but `%`, and those that browsers leave unescaped.
const TARGET: u8 = 4;
/// Characters of `uri-host [":" port]` (RFC 3986, section 3.2.2): no user, no path, no list.
const HOST: u8 = 8;

static CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = classes(byte as u8);
        byte += 1;
    }
    table
};

const fn classes(byte: u8) -> u8 {
    let alphanumeric = byte.is_ascii_alphanumeric();
    let token = matches!(
        byte,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    );
    let both = matches!(
        byte,
        b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'='
    ) || matches!(byte, b':' | b'[' | b']');
    let target = matches!(byte, b',' | b'@' | b'/' | b'?' | b'{' | b'}' | b'|' | b'^');
    let mut classes = 0;
    if byte == b'\t' || (byte >= b' ' && byte != 0x7f) {
        classes |= TEXT;
    }
    if alphanumeric || token {
        classes |= TOKEN;
    }
    if alphanumeric || both || target {
        classes |= TARGET;
    }
    if alphanumeric || both || byte == b'%' {
        classes |= HOST;
    }
    classes
}

/// Whether a method or a name of a field may hold it.
pub(super) fn is_token(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & TOKEN != 0
}

/// Whether a value of a field may hold it.
pub(super) fn is_text(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & TEXT != 0
}

/// Whether it is all characters of a host and its port.
pub(super) fn is_host(bytes: &[u8]) -> bool {
    run(bytes, HOST) == bytes.len()
}

/// The length of the token that the bytes begin with.
pub(super) fn token_len(bytes: &[u8]) -> usize {
    run(bytes, TOKEN)
}

/// RFC 3986's characters and those that browsers leave unescaped; `%` only before two hexadecimal digits; no fragment.
pub(super) fn is_path_and_query(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    loop {
        rest = match &rest[run(rest, TARGET)..] {
            [] => return true,
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => tail,
            _ => return false,
        };
    }
}

/// How many bytes there are before the first that a value of a field may not hold.
pub(super) fn text_len(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut before = 0;
    for word in words {
        if may_hold_control(u64::from_le_bytes(*word)) {
            let len = run(word, TEXT);
            if len < word.len() {
                return before + len;
            }
        }
        before += word.len();
    }
    before + run(rest, TEXT)
}

/// Whether any of a word's bytes is below 32 or is 127; a tab is among them, and has to be told apart by looking.
fn may_hold_control(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES << 7;
    let below_blank = word.wrapping_sub(ONES * 0x20) & !word;
    let not_delete = word ^ (ONES * 0x7f);
    let delete = not_delete.wrapping_sub(ONES) & !not_delete;
    (below_blank | delete) & HIGH != 0
}

/// How many bytes there are before the first that is not of the class.
fn run(bytes: &[u8], class: u8) -> usize {
    let end = bytes
        .iter()
        .position(|&byte| CLASSES[usize::from(byte)] & class == 0);
    end.unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_in_its_classes() {
        for byte in 0..=u8::MAX {
            let alphanumeric = byte.is_ascii_alphanumeric();
            let of = |others: &[u8]| alphanumeric || others.contains(&byte);
            assert_eq!(is_token(byte), of(b"!#$%&'*+-.^_`|~"), "{byte}");
            assert_eq!(is_host(&[byte]), of(b"-._~%:[]!$&'()*+;="), "{byte}");
            let target = of(b"-._~!$&'()*+,;=:@/?[]{}|^");
            assert_eq!(is_path_and_query(&[byte]), target, "{byte}");
            let text = byte == 9 || (32..127).contains(&byte) || byte >= 128;
            assert_eq!(is_text(byte), text, "{byte}");
        }
    }

    #[test]
    fn a_percent_sign_needs_two_digits() {
        for good in ["", "/", "/%7E", "/%7e%00a", "%aF"] {
            assert!(is_path_and_query(good.as_bytes()), "{good}");
        }
        for bad in ["%", "/%", "/%7", "/%7g", "/%g7", "/%%41", "/a#b", "/a b"] {
            assert!(!is_path_and_query(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn text_ends_where_a_byte_by_byte_search_says() {
        // Each byte at each place of a word and behind it, after tabs and after bytes of all high bits.
        for filler in [b'a', b'\t', b' ', 0x80, 0xff, b'~', b'!'] {
            for byte in 0..=u8::MAX {
                for at in 0..27 {
                    let mut line = [filler; 27];
                    line[at] = byte;
                    let expected = line.iter().position(|&byte| !is_text(byte)).unwrap_or(27);
                    assert_eq!(text_len(&line), expected, "{byte} at {at} among {filler}");
                    // Another behind it changes nothing.
                    line[26] = b'\r';
                    assert_eq!(text_len(&line), expected.min(26), "{byte} at {at} among {filler}");
                }
            }
        }
    }
}
