//! How a version is put together: step by step some literals, then a stretch of the base's stream.
//!
//! Stretches ascend in the base, so that whoever puts the version together reads base and literals once, from their beginning to
//! their end, whatever a recipe says: no recipe costs more than the two are long.

/// Steps of one recipe: 24 MiB.
pub const MAX_STEPS: usize = 1 << 20;

/// One step: `literal` bytes of the literals, and then `copy` bytes of the base's stream from `from` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the literals.
    pub literal: u64,
    /// Where the stretch of the base begins.
    pub from: u64,
    /// Its bytes; may be none.
    pub copy: u64,
}

impl Step {
    /// Its size on the wire: three numbers of eight bytes, big endian.
    pub const BYTES: usize = 24;

    fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        let (numbers, _) = bytes.as_chunks::<8>();
        let number = |at: usize| numbers.get(at).map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Self { literal: number(0), from: number(1), copy: number(2) }
    }
}

/// The recipe as it stands on the wire.
pub fn encode(steps: &[Step]) -> Vec<u8> {
    steps.iter().flat_map(|step| [step.literal, step.from, step.copy]).flat_map(u64::to_be_bytes).collect()
}

/// What a recipe is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of the base's stream.
    pub base: u64,
    /// Bytes of the version's.
    pub version: u64,
    /// Bytes of the literals.
    pub literal: u64,
}

/// What is wrong with a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRecipe {
    /// It has no steps, too many, or a part of one.
    #[error("the recipe is no list of steps")]
    Form,
    /// A step adds nothing.
    #[error("a step of the recipe adds nothing")]
    Empty,
    /// A stretch begins before the one before it ends, or ends behind the base.
    #[error("the recipe copies from outside of the base, or goes back in it")]
    Outside,
    /// The steps make another number of bytes than the version or the literals have.
    #[error("the recipe makes another number of bytes than were announced")]
    Sum,
}

/// A recipe that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe(Vec<Step>);

impl Recipe {
    /// Reads a recipe of at most [`MAX_STEPS`] steps and checks every one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(bytes: &[u8], sizes: Sizes) -> Result<Self, BadRecipe> {
        let (steps, rest) = bytes.as_chunks::<{ Step::BYTES }>();
        if steps.is_empty() || steps.len() > MAX_STEPS || !rest.is_empty() {
            return Err(BadRecipe::Form);
        }
        let steps: Vec<Step> = steps.iter().map(Step::decode).collect();
        let (mut reached, mut literal, mut version) = (0, 0u64, 0u64);
        for step in &steps {
            if step.literal == 0 && step.copy == 0 {
                return Err(BadRecipe::Empty);
            }
            if step.copy > 0 {
                let end = step.from.checked_add(step.copy).filter(|end| *end <= sizes.base);
                let end = end.filter(|_| step.from >= reached);
                reached = end.ok_or(BadRecipe::Outside)?;
            }
            literal = literal.checked_add(step.literal).ok_or(BadRecipe::Sum)?;
            let adds = step.literal.checked_add(step.copy);
            version = adds.and_then(|adds| version.checked_add(adds)).ok_or(BadRecipe::Sum)?;
        }
        if (literal, version) != (sizes.literal, sizes.version) {
            return Err(BadRecipe::Sum);
        }
        Ok(Self(steps))
    }

    /// Its steps, in order.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Literal, from, copy.
    type Numbers = (u64, u64, u64);

    const SIZES: Sizes = Sizes { base: 100, version: 60, literal: 10 };

    fn read(steps: &[Numbers]) -> Result<Recipe, BadRecipe> {
        let step = |(literal, from, copy): &Numbers| Step { literal: *literal, from: *from, copy: *copy };
        let steps: Vec<Step> = steps.iter().map(step).collect();
        Recipe::read(&encode(&steps), SIZES)
    }

    #[test]
    fn a_recipe_that_adds_up_reads_back() {
        let recipe = read(&[(0, 0, 20), (4, 20, 10), (6, 80, 20)]).unwrap();
        assert_eq!(recipe.steps()[1], Step { literal: 4, from: 20, copy: 10 });
        assert_eq!(Recipe::read(&encode(recipe.steps()), SIZES), Ok(recipe));
    }

    #[test]
    fn each_lie_of_a_recipe_is_told_from_the_others() {
        let cases: [(&[Numbers], BadRecipe); 10] = [
            (&[], BadRecipe::Form),
            (&[(10, 0, 50), (0, 0, 0)], BadRecipe::Empty),
            (&[(10, 51, 50)], BadRecipe::Outside),
            (&[(10, u64::MAX, 50)], BadRecipe::Outside),
            (&[(5, 50, 25), (5, 40, 25)], BadRecipe::Outside),
            (&[(5, 50, 25), (5, 74, 25)], BadRecipe::Outside),
            (&[(10, 0, 49)], BadRecipe::Sum),
            (&[(9, 0, 51)], BadRecipe::Sum),
            (&[(u64::MAX, 0, 50), (11, 0, 0)], BadRecipe::Sum),
            (&[(60, 0, 0)], BadRecipe::Sum),
        ];
        for (steps, expected) in cases {
            assert_eq!(read(steps), Err(expected), "{steps:?}");
        }
        assert_eq!(Recipe::read(&[0; 25], SIZES), Err(BadRecipe::Form));
    }

    proptest! {
        #[test]
        fn no_recipe_that_is_read_leaves_the_base_or_makes_more_than_was_announced(
            steps in proptest::collection::vec((0..40u64, 0..120u64, 0..60u64), 0..6),
        ) {
            let literal = steps.iter().map(|step| step.0).sum();
            let version = steps.iter().map(|step| step.0 + step.2).sum();
            let encoded: Vec<_> =
                steps.iter().map(|(literal, from, copy)| Step { literal: *literal, from: *from, copy: *copy }).collect();
            if let Ok(recipe) = Recipe::read(&encode(&encoded), Sizes { base: 100, version, literal }) {
                let mut reached = 0;
                for step in recipe.steps().iter().filter(|step| step.copy > 0) {
                    prop_assert!(step.from >= reached && step.from + step.copy <= 100);
                    reached = step.from + step.copy;
                }
            }
        }

        #[test]
        fn bytes_of_a_stranger_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Recipe::read(&bytes, SIZES);
        }
    }
}
