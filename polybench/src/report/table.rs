//! Tables of aligned columns in a terminal.
//!
//! ```text
//!                            native                     interp      groups, named at their right end
//! kernel     Mop      time    Gop/s      time  Gop/s   x  +-%       leading columns, then each group's
//! gemm       2.1   0.41 ms     5.12   8.20 ms  0.256  20    1
//! ```
//!
//! Groups stand beside each other as long as they fit; the others follow in blocks below, each with the leading columns again.

use std::io::{self, Write};
use std::ops::Range;

/// Characters that a line may have.
pub(super) const WIDTH: usize = 118;

/// Leading columns, then named groups of columns; as many groups beside each other as fit.
pub(super) struct Table {
    leading: Vec<String>,
    groups: Vec<(String, Vec<String>)>,
    /// A row's cells, or none for a line across.
    rows: Vec<Option<Vec<String>>>,
}

impl Table {
    pub(super) fn new(leading: &[&str]) -> Table {
        Table {
            leading: leading.iter().map(|&name| name.to_owned()).collect(),
            groups: Vec::new(),
            rows: Vec::new(),
        }
    }

    pub(super) fn group(&mut self, name: &str, columns: &[&str]) {
        let columns = columns.iter().map(|&name| name.to_owned()).collect();
        self.groups.push((name.to_owned(), columns));
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(Some(cells));
    }

    pub(super) fn rule(&mut self) {
        self.rows.push(None);
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let widths = self.widths();
        let leading = 0..self.leading.len();
        let lead_width: usize = widths[leading.clone()].iter().map(|width| width + 2).sum();
        let mut first = 0;
        while first < self.groups.len() {
            let mut last = first;
            let mut width = lead_width;
            while last < self.groups.len() {
                width += self.group_width(last, &widths);
                if width > WIDTH && last > first {
                    break;
                }
                last += 1;
            }
            if first > 0 {
                writeln!(out)?;
            }
            self.write_block(first..last, &widths, out)?;
            first = last;
        }
        Ok(())
    }

    /// The first column's number of a group.
    fn begin(&self, group: usize) -> usize {
        self.leading.len()
            + self.groups[..group]
                .iter()
                .map(|(_, columns)| columns.len())
                .sum::<usize>()
    }

    fn group_width(&self, group: usize, widths: &[usize]) -> usize {
        let begin = self.begin(group);
        let columns = &widths[begin..begin + self.groups[group].1.len()];
        columns.iter().map(|width| width + 1).sum::<usize>() + 2
    }

    /// The width of each column. A group whose name is wider than its columns gets a wider first one.
    fn widths(&self) -> Vec<usize> {
        let names = self
            .leading
            .iter()
            .chain(self.groups.iter().flat_map(|(_, columns)| columns));
        let mut widths: Vec<_> = names.map(|name| name.chars().count()).collect();
        for cells in self.rows.iter().flatten() {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (group, (name, _)) in self.groups.iter().enumerate() {
            let have = self.group_width(group, &widths) - 3;
            widths[self.begin(group)] += name.chars().count().saturating_sub(have);
        }
        widths
    }

    fn write_block(&self, groups: Range<usize>, widths: &[usize], out: &mut dyn Write) -> io::Result<()> {
        let blank: Vec<_> = self.leading.iter().map(|_| String::new()).collect();
        let mut line = self.lead(&blank, widths);
        for group in groups.clone() {
            let width = self.group_width(group, widths);
            line += &format!("{:>width$}", self.groups[group].0);
        }
        if !line.trim().is_empty() {
            writeln!(out, "{}", line.trim_end())?;
        }
        let names: Vec<_> = self
            .leading
            .iter()
            .chain(self.groups.iter().flat_map(|(_, columns)| columns))
            .cloned()
            .collect();
        let width = self.line(&names, groups.clone(), widths).chars().count();
        for row in std::iter::once(&Some(names)).chain(&self.rows) {
            match row {
                Some(cells) => writeln!(out, "{}", self.line(cells, groups.clone(), widths).trim_end())?,
                None => writeln!(out, "{}", "-".repeat(width))?,
            }
        }
        Ok(())
    }

    /// The leading cells: the first to the left, the others to the right.
    fn lead(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = format!("{:<width$}", cells[0], width = widths[0]);
        for (cell, width) in cells.iter().zip(widths).take(self.leading.len()).skip(1) {
            line += &format!("  {cell:>width$}");
        }
        line
    }

    fn line(&self, cells: &[String], groups: Range<usize>, widths: &[usize]) -> String {
        let mut line = self.lead(cells, widths);
        for group in groups {
            line += "  ";
            let begin = self.begin(group);
            for column in begin..begin + self.groups[group].1.len() {
                let width = widths[column] + 1;
                line += &format!("{:>width$}", cells[column]);
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_do_not_fit_go_below() {
        let mut table = Table::new(&["name"]);
        for group in 0..10 {
            table.group(&format!("group {group}"), &["a column", "another"]);
        }
        table.row((0..21).map(|cell| format!("cell {cell}")).collect());
        let mut out = Vec::new();
        table.write(&mut out).expect("room");
        let text = String::from_utf8(out).expect("text");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(
            text.lines().filter(|line| line.starts_with("cell 0")).count(),
            2,
            "{text}"
        );
        for cell in 0..21 {
            assert!(text.contains(&format!("cell {cell}")));
        }
    }
}
