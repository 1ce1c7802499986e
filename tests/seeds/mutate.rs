//! Small changes to a seed, the same in every run: what fuzzing does first, for some seconds in every test.

/// Numbers that look random (SplitMix64).
pub struct Dice(u64);

impl Dice {
    /// Dice of their own for each name.
    pub fn named(name: &str) -> Self {
        // FNV-1a.
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`; zero where nothing is.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn one<'a>(&mut self, all: &'a [Vec<u8>]) -> &'a [u8] {
        all.get(self.below(all.len())).map_or(&[], Vec::as_slice)
    }
}

/// One to four changes of `seed`; `others` are what may be put in beside `words`.
pub fn change(seed: &[u8], others: &[Vec<u8>], words: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=dice.below(4) {
        let (at, length) = (dice.below(data.len()), 1 + dice.below(8));
        let end = (at + length).min(data.len());
        match dice.below(8) {
            0 => flip(&mut data, at, 1 << dice.below(8)),
            1 => flip(&mut data, at, dice.next() as u8),
            2 => drop(data.drain(at..end)),
            3 => data.truncate(at),
            4 => drop(data.splice(at..at, data[at..end].to_vec())),
            5 => drop(data.splice(at..at, dice.one(words).to_vec())),
            6 => drop(data.splice(at..end, dice.one(words).to_vec())),
            _ => {
                let other = dice.one(others);
                let from = dice.below(other.len());
                data.splice(at.., other[from..].to_vec());
            }
        }
    }
    data
}

fn flip(data: &mut [u8], at: usize, bits: u8) {
    if let Some(byte) = data.get_mut(at) {
        *byte ^= bits;
    }
}

/// The words of a dictionary as libFuzzer reads it: a quoted word a line, with `\xAB`, `\\` and `\"`.
pub fn words(dictionary: &str) -> Vec<Vec<u8>> {
    let quoted = |line: &str| Some(line.strip_prefix('"')?.strip_suffix('"')?.to_owned());
    dictionary.lines().filter_map(quoted).map(|word| unescape(&word)).collect()
}

fn unescape(word: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), word.as_bytes());
    loop {
        rest = match rest {
            [b'\\', b'x', high, low, rest @ ..] => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).expect("a hex digit");
                bytes.push((digit(high) << 4 | digit(low)) as u8);
                rest
            }
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
            [] => return bytes,
        };
    }
}
