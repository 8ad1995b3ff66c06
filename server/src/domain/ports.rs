//! Which block of ports a ticket gets.

/// The ports that are given away: below those that Linux chooses from for outgoing connections (32768), so that none of them
/// is taken by chance.
const FIRST: i64 = 20_000;
const LAST: i64 = 32_767;

/// `count` ports from `first` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub first: i64,
    pub count: i64,
}

impl Block {
    fn end(self) -> i64 {
        self.first + self.count
    }

    /// The last port of the two blocks' overlap, if they overlap.
    fn overlap(self, other: Self) -> Option<i64> {
        (self.first < other.end() && other.first < self.end()).then(|| other.end() - 1)
    }
}

/// The first free block. A port that something listens on now is avoided; if there is no other block left,
/// one with such a port is given: its listener may belong to a ticket that has closed, and end.
#[must_use]
pub fn free(taken: &[Block], busy: &[i64], count: i64) -> Option<Block> {
    let busy = busy.iter().map(|port| Block { first: *port, count: 1 });
    let all: Vec<Block> = taken.iter().copied().chain(busy).collect();
    first_without(&all, count).or_else(|| first_without(taken, count))
}

fn first_without(taken: &[Block], count: i64) -> Option<Block> {
    let mut first = FIRST;
    loop {
        let block = Block { first, count };
        if block.end() > LAST + 1 {
            return None;
        }
        match taken.iter().filter_map(|other| block.overlap(*other)).max() {
            Some(last) => first = last + 1,
            None => return Some(block),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(first: i64, count: i64) -> Block {
        Block { first, count }
    }

    #[test]
    fn the_first_free_block_is_taken() {
        assert_eq!(free(&[], &[], 10), Some(block(20_000, 10)));
        assert_eq!(free(&[block(20_000, 10)], &[], 10), Some(block(20_010, 10)));
        let gap = [block(20_000, 10), block(20_015, 10)];
        assert_eq!(free(&gap, &[], 5), Some(block(20_010, 5)));
        assert_eq!(free(&gap, &[], 6), Some(block(20_025, 6)));
        assert_eq!(free(&[], &[20_003, 22], 3), Some(block(20_000, 3)));
        assert_eq!(free(&[], &[20_003], 10), Some(block(20_004, 10)));
    }

    #[test]
    fn a_busy_port_is_better_than_none() {
        let all_but_ten = [block(20_010, 12_758)];
        assert_eq!(free(&all_but_ten, &[20_005], 10), Some(block(20_000, 10)));
        assert_eq!(free(&all_but_ten, &[], 11), None);
    }

    proptest! {
        #[test]
        fn no_two_blocks_share_a_port(counts in prop::collection::vec(1_i64..=100, 1..60),
                                      freed in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
            let mut taken: Vec<Block> = Vec::new();
            for (round, count) in counts.iter().enumerate() {
                if let Some(index) = freed.get(round).filter(|_| !taken.is_empty()) {
                    taken.remove(index.index(taken.len()));
                }
                let new = free(&taken, &[], *count).expect("the range has room");
                prop_assert!(taken.iter().all(|other| new.overlap(*other).is_none()));
                prop_assert!(new.first >= FIRST && new.end() <= LAST + 1 && new.count == *count);
                taken.push(new);
                taken.sort_by_key(|block| block.first);
            }
        }
    }
}
