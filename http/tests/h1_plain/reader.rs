//! A strict client's reading of answers.

/// How the length of an answer's body was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    /// Not at all: there is no body, or the end of the connection is its end.
    Nothing,
}

/// An answer, as a strict client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) minor: u8,
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) framing: Framing,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The only field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut of_name = self.fields.iter().filter(|field| field.0 == name);
        let value = of_name.next().map(|field| field.1.as_str());
        assert!(
            of_name.next().is_none(),
            "more than one {name}: {:?}",
            self.fields
        );
        value
    }

    pub(crate) fn closes(&self) -> bool {
        self.field("connection") == Some("close")
    }
}

/// Takes one answer off `rest`, or says what is wrong with it. `to_head` says that a `HEAD` is answered.
pub(crate) fn read_answer(rest: &mut &[u8], to_head: bool) -> Result<Answer, String> {
    let end = rest.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, mut tail) = rest.split_at(end.ok_or("no end of a head")? + 4);
    let text = std::str::from_utf8(head).map_err(|_| "a head that is not text")?;
    if text.replace("\r\n", "").contains(['\r', '\n']) {
        return Err("a line that does not end in CRLF".into());
    }
    let mut room = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Response::new(&mut room);
    let status = parsed.parse(head).map_err(|error| error.to_string())?;
    if status != httparse::Status::Complete(head.len()) {
        return Err("a head with another end".into());
    }
    let fields: Vec<(String, String)> = parsed
        .headers
        .iter()
        .map(|field| {
            (
                field.name.to_owned(),
                String::from_utf8_lossy(field.value).into_owned(),
            )
        })
        .collect();
    let mut answer = Answer {
        minor: parsed.version.ok_or("no version")?,
        status: parsed.code.ok_or("no status")?,
        reason: parsed.reason.unwrap_or_default().to_owned(),
        fields,
        framing: Framing::Nothing,
        body: Vec::new(),
    };
    if answer
        .fields
        .iter()
        .any(|(name, _)| *name != name.to_ascii_lowercase())
    {
        return Err("a name in capitals".into());
    }
    httpdate::parse_http_date(answer.field("date").ok_or("no date")?).map_err(|error| error.to_string())?;
    let length = answer.field("content-length").map(str::parse).transpose();
    let length: Option<usize> = length.map_err(|_| "a length that is no number")?;
    answer.framing = match (length, answer.field("transfer-encoding")) {
        (Some(length), None) => Framing::Length(length),
        (None, Some("chunked")) if answer.minor == 1 => Framing::Chunked,
        (None, None) => Framing::Nothing,
        other => return Err(format!("framed as {other:?}")),
    };
    if !to_head && !matches!(answer.status, 204 | 304) {
        answer.body = match answer.framing {
            Framing::Length(length) => {
                let (body, after) = tail.split_at_checked(length).ok_or("a body cut short")?;
                tail = after;
                body.to_vec()
            }
            Framing::Chunked => read_chunks(&mut tail)?,
            Framing::Nothing => std::mem::take(&mut tail).to_vec(),
        };
    }
    *rest = tail;
    Ok(answer)
}

fn read_chunks(rest: &mut &[u8]) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n");
        let (line, tail) = rest.split_at(end.ok_or("no end of a chunk's size")?);
        let size = std::str::from_utf8(line).ok().filter(|_| !line.is_empty());
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or("a chunk size that is no number")?;
        let (chunk, tail) = tail[2..].split_at_checked(size).ok_or("a chunk cut short")?;
        *rest = tail.strip_prefix(b"\r\n").ok_or("a chunk longer than its size")?;
        body.extend_from_slice(chunk);
        if size == 0 {
            return Ok(body);
        }
    }
}
