//! Walks through a file like `inspect` would, and prints what is noticed and how long it took:
//! `cargo run --release -p sluse-content --example walk -- FILE`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use sluse_content::Notice;
use sluse_content::containers::{End, Limits, Member, Visitor, Walker, printable};
use std::io::Read;
use std::time::Instant;

struct Print {
    open: Vec<String>,
    list: bool,
}

impl Visitor for Print {
    fn begin(&mut self, member: &Member<'_>) {
        let name = member.chain.last().map(|name| printable(name)).unwrap_or_default();
        if self.list {
            println!("{}{name}", "  ".repeat(member.depth));
        }
        self.open.push(name);
    }

    fn bytes(&mut self, _: usize, _: &[u8]) {}

    fn end(&mut self, _: usize, _: End) {
        self.open.pop();
    }

    fn notice(&mut self, depth: usize, notice: Notice) {
        let name = self.open.get(depth).map_or("", String::as_str);
        println!("{name}: {}: {}", notice.class, notice.message);
    }
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or_else(|| std::io::Error::other("walk FILE [--list]"))?;
    let mut visitor = Print { open: Vec::new(), list: arguments.next().is_some() };
    let mut file = std::fs::File::open(&path)?;
    let mut walker = Walker::new(&path, None, Limits::default());
    let mut piece = vec![0; 256 * 1024];
    let start = Instant::now();
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        walker.feed(&piece[..read], &mut visitor);
    }
    let totals = walker.finish(&mut visitor);
    eprintln!("{totals:?} in {:?}", start.elapsed());
    Ok(())
}
