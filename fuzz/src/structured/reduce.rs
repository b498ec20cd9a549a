//! From a program that shows a fault to a smaller one that shows it still.
//!
//! Tries one cut after the other: a statement left out, a construct replaced by what is in it, an expression by a constant
//! or by an operand of its own type; and keeps what still fails, until nothing more can be cut (after A. Zeller and
//! R. Hildebrandt, "Simplifying and isolating failure-inducing input", TSE 2002, on trees instead of lines).

use super::tree::{Expr, Program, Stmt};

/// Cuts `program` down while `fails` holds of it.
pub(crate) fn reduce(mut program: Program, mut fails: impl FnMut(&Program) -> bool) -> Program {
    loop {
        let mut progress = false;
        let mut nth = 0;
        loop {
            let mut smaller = program.clone();
            if !cut(&mut smaller, nth) {
                break;
            }
            if fails(&smaller) {
                program = smaller;
                progress = true;
            } else {
                nth += 1;
            }
        }
        if !progress {
            return program;
        }
    }
}

/// Makes the cut with this number; `false` if there are not so many.
fn cut(program: &mut Program, nth: usize) -> bool {
    let mut cutter = Cutter {
        left: nth,
        done: false,
    };
    for func in &mut program.funcs {
        cutter.stmts(&mut func.body);
        for value in &mut func.values {
            cutter.expr(value);
        }
    }
    cutter.done
}

struct Cutter {
    left: usize,
    done: bool,
}

impl Cutter {
    /// Whether the cut that is looked at is the one to make.
    fn now(&mut self) -> bool {
        if self.done {
            return false;
        }
        self.done = self.left == 0;
        self.left = self.left.wrapping_sub(1);
        self.done
    }

    fn stmts(&mut self, stmts: &mut Vec<Stmt>) {
        if stmts.len() > 2 && self.now() {
            stmts.truncate(stmts.len() / 2);
        }
        for index in 0..stmts.len() {
            if self.now() {
                stmts.remove(index);
                return;
            }
            if let Stmt::Try(attempt) = &mut stmts[index] {
                for catch in 0..attempt.catches.len() {
                    if self.now() {
                        attempt.catches.remove(catch);
                        return;
                    }
                }
            }
            let inside = stmts[index].bodies().iter().any(|body| !body.is_empty());
            if inside && self.now() {
                let bodies: Vec<Stmt> = stmts[index]
                    .bodies()
                    .into_iter()
                    .flat_map(std::mem::take)
                    .collect();
                stmts.splice(index..=index, bodies);
                return;
            }
        }
        for stmt in stmts {
            if self.done {
                return;
            }
            for body in stmt.bodies() {
                self.stmts(body);
            }
            for expr in stmt.children() {
                self.expr(expr);
            }
        }
    }

    fn expr(&mut self, expr: &mut Expr) {
        if self.done {
            return;
        }
        let ty = expr.ty();
        if matches!(expr, Expr::Const(_, 0)) {
            return;
        }
        if self.now() {
            *expr = Expr::Const(ty, 0);
            return;
        }
        for index in 0..expr.children().len() {
            let fits = expr.children()[index].ty() == ty;
            if fits && self.now() {
                let child = std::mem::replace(expr.children()[index], Expr::Const(ty, 0));
                *expr = child;
                return;
            }
        }
        for body in expr.bodies() {
            self.stmts(body);
        }
        for child in expr.children() {
            self.expr(child);
        }
    }
}
