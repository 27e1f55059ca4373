//! Lines for whoever reads along. A program that a test starts may make the pipe that all of them write to one that does not wait
//! (Node does), and `println!` panics when such a pipe is full.

use std::{
    io::{self, ErrorKind, Write},
    thread,
    time::{Duration, Instant},
};

/// How long a full pipe is waited for, and how long between two looks.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(2);

/// Writes a line to standard output, whole. Nobody who reads is no error.
pub(crate) fn say(line: &str) {
    write(&mut io::stdout().lock(), &format!("{line}\n"));
}

fn write(out: &mut impl Write, text: &str) {
    let until = Instant::now() + PATIENCE;
    let mut left = text.as_bytes();
    while !left.is_empty() && Instant::now() < until {
        match out.write(left) {
            Ok(0) => return,
            Ok(written) => left = left.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(LOOK),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_nobody_reads) => return,
        }
    }
    while let Err(error) = out.flush() {
        if error.kind() != ErrorKind::WouldBlock || Instant::now() >= until {
            return;
        }
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes three bytes at a time, and nothing every other time.
    struct Narrow {
        taken: Vec<u8>,
        full: bool,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.full = !self.full;
            if self.full {
                return Err(ErrorKind::WouldBlock.into());
            }
            let taken = bytes.len().min(3);
            self.taken.extend(bytes.iter().take(taken));
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_pipe_that_is_full_is_waited_for_and_loses_nothing() {
        let mut narrow = Narrow { taken: Vec::new(), full: false };
        write(&mut narrow, "test a::b ... ok\n");
        assert_eq!(narrow.taken, b"test a::b ... ok\n");
    }
}
