//! Cuts a byte stream into lines, wherever the reads happen to end.

/// Longer lines are stored with the rest of the output but not parsed: no agent can make the shim
/// hold more than this.
pub const MAX_LINE: usize = 8 << 20;

/// A larger buffer is released after use; the usual line is far shorter.
const KEEP: usize = 64 << 10;

/// One line of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'l> {
    /// Without its newline.
    Whole(&'l [u8]),
    /// Longer than [`MAX_LINE`].
    TooLong,
}

/// The unfinished line at the end of what has been fed so far.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    /// The current line exceeds the limit; everything up to its end is skipped.
    skipping: bool,
}

impl Lines {
    /// Calls `line` for each line that ends in `bytes`.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(Line<'_>)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (rest, next) = (&bytes[..end], &bytes[end + 1..]);
            bytes = next;
            if self.partial.is_empty() && !self.skipping {
                line(Line::Whole(rest));
                continue;
            }
            self.keep(rest);
            line(if self.skipping { Line::TooLong } else { Line::Whole(&self.partial) });
            self.reset();
        }
        self.keep(bytes);
    }

    /// Takes what the child left without a newline at the end of its output.
    pub(super) fn finish(&mut self, line: impl FnOnce(Line<'_>)) {
        if self.skipping {
            line(Line::TooLong);
        } else if !self.partial.is_empty() {
            line(Line::Whole(&self.partial));
        }
        self.reset();
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.skipping {
            return;
        }
        if self.partial.len() + bytes.len() > MAX_LINE {
            self.partial = Vec::new();
            self.skipping = true;
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }

    fn reset(&mut self) {
        self.partial.clear();
        self.partial.shrink_to(KEEP);
        self.skipping = false;
    }
}
