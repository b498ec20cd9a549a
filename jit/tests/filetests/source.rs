//! A golden as text: the module, and after which lines its functions' code stands.

/// Marks a line of machine code.
const MARK: &str = ";;|";

/// A file without the machine code.
pub(crate) struct Source {
    /// What stands behind `;; options:` in the first line.
    pub(crate) options: String,
    /// The lines of the module.
    pub(crate) module: String,
    /// For each function, in order, the number of the line that it ends in.
    ends: Vec<usize>,
}

impl Source {
    /// Takes a file apart. Functions begin with `(func ` at the start of a line's text; the file keeps to no parentheses in
    /// strings.
    pub(crate) fn read(text: &str) -> Result<Source, String> {
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim_start().starts_with(MARK))
            .collect();
        let options = lines
            .first()
            .and_then(|line| line.strip_prefix(";; options:"))
            .unwrap_or_default();
        let mut ends = Vec::new();
        let mut at = 0;
        while at < lines.len() {
            let begins = lines[at].trim_start().starts_with("(func");
            if begins {
                let mut depth = 0;
                loop {
                    let line = lines.get(at).ok_or("a function without end")?;
                    let code = line.split(";;").next().unwrap_or_default();
                    depth += code.matches('(').count() as i64 - code.matches(')').count() as i64;
                    if depth <= 0 {
                        break;
                    }
                    at += 1;
                }
                if depth < 0 {
                    return Err(format!(
                        "line {}: the module has to end on a line of its own",
                        at + 1
                    ));
                }
                ends.push(at);
            }
            at += 1;
        }
        Ok(Source {
            options: options.trim().to_owned(),
            module: lines.join("\n") + "\n",
            ends,
        })
    }

    /// The file with this machine code of its functions.
    pub(crate) fn with(&self, listings: &[Vec<String>]) -> Result<String, String> {
        if listings.len() != self.ends.len() {
            return Err(format!(
                "{} functions are written, {} were made",
                self.ends.len(),
                listings.len()
            ));
        }
        let mut text = String::new();
        let mut functions = self.ends.iter().zip(listings).peekable();
        for (number, line) in self.module.lines().enumerate() {
            text.push_str(line);
            text.push('\n');
            if let Some((_, listing)) = functions.next_if(|(end, _)| **end == number) {
                for instruction in listing {
                    text.push_str(&format!("    {MARK} {instruction}\n"));
                }
            }
        }
        Ok(text)
    }
}
