//! The fields of a line that a dialect needs.

/// The members that a dialect needs, as paths such as `message.content.text`. Paths pass through lists without naming
/// them. A path that ends in `*` includes everything below.
///
/// These members are kept first; the rest of a line is kept as far as it fits.
#[derive(Debug)]
pub(crate) struct WantedFields {
    /// Names, numbers, states.
    pub(crate) facts: &'static [&'static str],
    /// Texts for people, which may be long.
    pub(crate) texts: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FieldRank {
    /// Kept as far as it fits.
    #[default]
    Other,
    Fact,
    Text,
}

/// The position of a value, relative to the paths.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FieldPosition {
    /// The paths that continue from here, as bits.
    active_paths: u64,
    /// The number of members above it.
    depth: usize,
    pub(super) rank: FieldRank,
    /// Whether everything below is needed too.
    includes_all: bool,
    /// Whether it is one of several values, in a list.
    pub(super) is_repeated: bool,
}

impl FieldPosition {
    /// Whether it or something in it is needed.
    pub(super) fn is_wanted(&self) -> bool {
        self.active_paths != 0 || self.rank != FieldRank::Other
    }

    /// An item of a list at this position.
    pub(super) fn item(self) -> Self {
        Self { is_repeated: true, ..self }
    }
}

impl WantedFields {
    fn paths(&self) -> impl Iterator<Item = (&'static str, FieldRank)> {
        let facts = self.facts.iter().map(|path| (*path, FieldRank::Fact));
        facts.chain(self.texts.iter().map(|path| (*path, FieldRank::Text)))
    }

    /// The position of the whole value.
    pub(super) fn root(&self) -> FieldPosition {
        let count = self.paths().count();
        debug_assert!(count < 64, "there is a bit for each path");
        FieldPosition { active_paths: (1 << count) - 1, ..FieldPosition::default() }
    }

    /// The position of the member `key` of an object at `position`.
    pub(super) fn member(&self, position: FieldPosition, key: &str) -> FieldPosition {
        let mut member =
            FieldPosition { depth: position.depth + 1, is_repeated: position.is_repeated, ..FieldPosition::default() };
        if position.includes_all {
            return FieldPosition { rank: position.rank, includes_all: true, is_repeated: true, ..member };
        }
        if position.active_paths == 0 {
            return member;
        }
        for (place, (path, rank)) in
            self.paths().enumerate().filter(|(place, _)| position.active_paths >> place & 1 == 1)
        {
            let mut parts = path.split('.').skip(position.depth);
            match (parts.next(), parts.next()) {
                // There may be any number of them.
                (Some("*"), _) => (member.rank, member.includes_all, member.is_repeated) = (rank, true, true),
                (Some(part), next) if part == key => match next {
                    Some(_) => member.active_paths |= 1 << place,
                    None => member.rank = member.rank.max(rank),
                },
                _ => {}
            }
        }
        member
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_pass_through_lists() {
        let wanted = WantedFields { facts: &["type", "usage.*", "content.type"], texts: &["content.text", "content"] };
        let root = wanted.root();
        let member = |keys: &[&str]| keys.iter().fold(root, |position, key| wanted.member(position.item(), key));
        assert_eq!(member(&["type"]).rank, FieldRank::Fact);
        assert_eq!(member(&["usage", "a", "b"]).rank, FieldRank::Fact);
        assert_eq!(member(&["content"]).rank, FieldRank::Text);
        assert_eq!(member(&["content", "text"]).rank, FieldRank::Text);
        assert!(!member(&["content", "data"]).is_wanted() && !member(&["type", "text"]).is_wanted());
        assert!(!member(&["other"]).is_wanted());
    }
}
