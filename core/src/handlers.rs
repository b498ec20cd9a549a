//! Where exceptions are caught: the handlers of a module's code, found by where a function was when one came through it.
//!
//! Entering a `try_table` runs no code for it. Each becomes a *region* of the code, with its handlers; when an exception is
//! thrown, the place where a function stands, the throwing one or one that waits for its callee, is looked up. The table
//! serves every tier: what a place is, an instruction's number or an offset in machine code, is the tier's matter.
//!
//! ```text
//!   code       ──────[──────[────]──────────]────────[──]────   regions, in the order in which they begin
//!                    0      1                         2
//!   enclosing        -      0                         -
//! ```
//!
//! Regions nest as constructs do. The innermost one at a place is therefore the last that begins before it, or one around
//! that one: a binary search and a walk outwards. A tail call that is carried out as a call and a return lies in a region
//! too, at which the walk ends: its function has no handlers any more.

/// The handlers of a module's code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandlerTable {
    /// In ascending order of their start.
    regions: Vec<Region>,
    handlers: Vec<Handler>,
    /// Regions that are not closed yet, outermost first.
    open: Vec<u32>,
}

/// What becomes of an exception that a handler catches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handler {
    /// The module's number of the tag that it catches; `None` catches all and takes no payload.
    pub tag: Option<u32>,
    /// Whether it also takes a reference to the exception, behind the payload.
    pub with_ref: bool,
    /// Where the code goes on.
    pub target: u32,
    /// In bytecode, the register at which payload and reference are left, one slot behind the other. In machine code, the
    /// bytes from the stack pointer to the frame pointer of the function: they are left where the stack pointer is.
    pub place: u32,
}

/// A part of the code.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Region {
    start: u32,
    /// One past its end.
    end: u32,
    /// The region around it, in the same function.
    enclosing: Option<u32>,
    /// Its handlers.
    first: u32,
    count: u32,
    /// Whether its function is as good as left: nothing around it catches.
    tail_call: bool,
}

/// The number of what is not there.
const ABSENT: u32 = u32::MAX;

impl HandlerTable {
    /// Begins a region at `start`, which is not before that of the last one. Handlers are tried in order.
    pub fn open(&mut self, start: u32, handlers: &[Handler]) {
        self.push(start, handlers, false);
    }

    /// Begins a region in which a tail call is carried out as a call.
    pub fn open_tail_call(&mut self, start: u32) {
        self.push(start, &[], true);
    }

    /// Ends the innermost open region before `end`.
    ///
    /// # Panics
    /// If none is open.
    pub fn close(&mut self, end: u32) {
        let innermost = self.open.pop().expect("a region that was opened");
        self.regions[innermost as usize].end = end;
    }

    /// How many handlers there are.
    pub fn len(&self) -> usize {
        self.handlers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.handlers.is_empty()
    }

    /// The handlers from number `first` on, to be completed once their function is known as a whole.
    pub fn handlers_mut(&mut self, first: usize) -> &mut [Handler] {
        &mut self.handlers[first..]
    }

    fn push(&mut self, start: u32, handlers: &[Handler], tail_call: bool) {
        let region = Region {
            start,
            end: start,
            enclosing: self.open.last().copied(),
            first: self.handlers.len() as u32,
            count: handlers.len() as u32,
            tail_call,
        };
        self.handlers.extend_from_slice(handlers);
        self.open.push(self.regions.len() as u32);
        self.regions.push(region);
    }

    /// The handler that catches what is thrown at `place`, where `catches` tells which tags of the module are its own; and
    /// how many were looked at.
    pub(crate) fn find(&self, place: u32, catches: impl Fn(u32) -> bool) -> (Option<Handler>, u32) {
        let mut looked_at = 1;
        let mut next = self
            .regions
            .partition_point(|region| region.start <= place)
            .checked_sub(1);
        while let Some(index) = next {
            let region = &self.regions[index];
            next = region.enclosing.map(|enclosing| enclosing as usize);
            looked_at += 1;
            if place >= region.end {
                continue;
            }
            let handlers = &self.handlers[region.first as usize..][..region.count as usize];
            looked_at += region.count;
            if let Some(handler) = handlers.iter().find(|handler| handler.tag.is_none_or(&catches)) {
                return (Some(*handler), looked_at);
            }
            if region.tail_call {
                break;
            }
        }
        (None, looked_at)
    }

    /// The regions as numbers, to be kept in a file.
    pub(crate) fn region_numbers(&self) -> impl ExactSizeIterator<Item = [u32; 6]> {
        self.regions.iter().map(|region| {
            [
                region.start,
                region.end,
                region.enclosing.unwrap_or(ABSENT),
                region.first,
                region.count,
                u32::from(region.tail_call),
            ]
        })
    }

    /// The handlers likewise.
    pub(crate) fn handler_numbers(&self) -> impl ExactSizeIterator<Item = [u32; 4]> {
        self.handlers.iter().map(|handler| {
            [
                handler.tag.unwrap_or(ABSENT),
                u32::from(handler.with_ref),
                handler.target,
                handler.place,
            ]
        })
    }

    /// The table that these numbers stand for, which is yet to be checked. `None` where they stand for nothing.
    pub(crate) fn from_numbers(regions: &[[u32; 6]], handlers: &[[u32; 4]]) -> Option<Self> {
        let present = |number: u32| Some(number).filter(|&number| number != ABSENT);
        let truth = |number: u32| (number < 2).then_some(number == 1);
        let region = |&[start, end, enclosing, first, count, tail_call]: &[u32; 6]| {
            Some(Region {
                start,
                end,
                enclosing: present(enclosing),
                first,
                count,
                tail_call: truth(tail_call)?,
            })
        };
        let handler = |&[tag, with_ref, target, place]: &[u32; 4]| {
            Some(Handler {
                tag: present(tag),
                with_ref: truth(with_ref)?,
                target,
                place,
            })
        };
        Some(Self {
            regions: regions.iter().map(region).collect::<Option<_>>()?,
            handlers: handlers.iter().map(handler).collect::<Option<_>>()?,
            open: Vec::new(),
        })
    }

    /// Bytes that the table takes.
    pub(crate) fn bytes(&self) -> usize {
        self.regions.len() * size_of::<Region>() + self.handlers.len() * size_of::<Handler>()
    }

    /// Gives back what was reserved too much.
    pub(crate) fn shrink(&mut self) {
        self.regions.shrink_to_fit();
        self.handlers.shrink_to_fit();
    }

    /// Finds what the table of a code of `end` bytes lacks, in a module of so many tags.
    pub(crate) fn check(&self, end: u32, tags: u32) -> Result<(), &'static str> {
        let around = |index: usize, region: &Region| {
            region.enclosing.is_none_or(|enclosing| {
                (enclosing as usize) < index && {
                    let outer = &self.regions[enclosing as usize];
                    outer.start <= region.start && region.end <= outer.end
                }
            })
        };
        let inside = |(index, region): (usize, &Region)| {
            let handlers = u64::from(region.first) + u64::from(region.count);
            region.start <= region.end
                && region.end <= end
                && handlers <= self.handlers.len() as u64
                && around(index, region)
        };
        if !self.open.is_empty() {
            return Err("a region of handlers that has no end");
        }
        if !self.regions.is_sorted_by_key(|region| region.start) {
            return Err("regions of handlers in disorder");
        }
        if !self.regions.iter().enumerate().all(inside) {
            return Err("a region of handlers outside of what it belongs to");
        }
        if !self.handlers.iter().all(|handler| {
            handler.target < end
                && handler.tag.is_none_or(|tag| tag < tags)
                && handler.place.is_multiple_of(8)
        }) {
            return Err("a handler outside of the text, or of no tag");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handler(tag: Option<u32>, target: u32) -> Handler {
        Handler {
            tag,
            with_ref: false,
            target,
            place: 0,
        }
    }

    /// `10 [ 20 [ 30 ] 40 [ 50 tail call 60 ] 70 ] 80`, the outer one catching tag 0 and everything.
    fn nested() -> HandlerTable {
        let mut table = HandlerTable::default();
        table.open(10, &[handler(Some(0), 1), handler(None, 2)]);
        table.open(20, &[handler(Some(1), 3)]);
        table.close(30);
        table.open(40, &[handler(Some(2), 4)]);
        table.open_tail_call(50);
        table.close(60);
        table.close(70);
        table.close(80);
        table
    }

    #[test]
    fn the_innermost_handler_of_the_tag_catches() {
        let table = nested();
        let caught = |place, tag| {
            let (found, _) = table.find(place, |catches| catches == tag);
            found.map(|handler| handler.target)
        };
        assert_eq!(caught(9, 0), None);
        assert_eq!(caught(10, 0), Some(1));
        assert_eq!(caught(10, 1), Some(2));
        assert_eq!(caught(29, 1), Some(3));
        assert_eq!(caught(29, 0), Some(1));
        assert_eq!(caught(30, 1), Some(2));
        assert_eq!(caught(45, 2), Some(4));
        assert_eq!(caught(55, 2), None);
        assert_eq!(caught(65, 2), Some(4));
        assert_eq!(caught(79, 7), Some(2));
        assert_eq!(caught(80, 7), None);
    }

    #[test]
    fn a_table_is_what_its_numbers_say() {
        let table = nested();
        let regions: Vec<_> = table.region_numbers().collect();
        let handlers: Vec<_> = table.handler_numbers().collect();
        assert_eq!(HandlerTable::from_numbers(&regions, &handlers), Some(table));
        let mut wrong = regions;
        wrong[0][5] = 2;
        assert_eq!(HandlerTable::from_numbers(&wrong, &handlers), None);
    }

    #[test]
    fn what_is_inconsistent_is_found() {
        let table = nested();
        assert_eq!(table.check(80, 3), Ok(()));
        assert!(table.check(79, 3).is_err(), "a region beyond the text");
        assert!(table.check(80, 2).is_err(), "a tag that there is not");
        let mut open = table.clone();
        open.open(90, &[]);
        assert!(open.check(100, 3).is_err(), "a region without an end");
        let mut disorder = table.clone();
        disorder.regions.swap(0, 1);
        assert!(disorder.check(80, 3).is_err());
        let mut outside = table;
        outside.handlers_mut(3)[0].target = 80;
        assert!(outside.check(80, 3).is_err());
    }
}
