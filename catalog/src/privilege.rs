//! [`Privilege`]s, sets of them, and [`Acl`]: who has which on one object, and who gave them. PostgreSQL's rules
//! (<https://www.postgresql.org/docs/15/ddl-priv.html>), in memory and without any lookup.

use std::fmt;

use crate::{Error, Result};

/// What may be done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "PostgreSQL's own words")]
pub enum Privilege {
    Insert,
    Select,
    Update,
    Delete,
    Truncate,
    References,
    Trigger,
    Usage,
    Create,
    Connect,
    Temporary,
}

impl Privilege {
    /// All of them, in the order in which PostgreSQL writes their letters.
    pub const ALL: [Self; 11] = [
        Self::Insert,
        Self::Select,
        Self::Update,
        Self::Delete,
        Self::Truncate,
        Self::References,
        Self::Trigger,
        Self::Usage,
        Self::Create,
        Self::Temporary,
        Self::Connect,
    ];

    /// The letter in an `aclitem`.
    pub fn letter(self) -> char {
        match self {
            Self::Insert => 'a',
            Self::Select => 'r',
            Self::Update => 'w',
            Self::Delete => 'd',
            Self::Truncate => 'D',
            Self::References => 'x',
            Self::Trigger => 't',
            Self::Usage => 'U',
            Self::Create => 'C',
            Self::Connect => 'c',
            Self::Temporary => 'T',
        }
    }

    /// `SELECT`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Select => "SELECT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Truncate => "TRUNCATE",
            Self::References => "REFERENCES",
            Self::Trigger => "TRIGGER",
            Self::Usage => "USAGE",
            Self::Create => "CREATE",
            Self::Connect => "CONNECT",
            Self::Temporary => "TEMPORARY",
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Privileges(u16);

impl Privileges {
    /// None.
    pub const NONE: Self = Self(0);

    /// These.
    pub fn of(privileges: &[Privilege]) -> Self {
        Self(privileges.iter().fold(0, |bits, privilege| bits | privilege.bit()))
    }

    /// Whether it holds `privilege`.
    pub fn has(self, privilege: Privilege) -> bool {
        self.0 & privilege.bit() != 0
    }

    /// Whether it holds none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in either.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that `other` doesn't hold.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Each, in the order of [`Privilege::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Privilege> {
        Privilege::ALL.into_iter().filter(move |privilege| self.has(*privilege))
    }

    /// The letters of an `aclitem`.
    pub fn letters(self) -> String {
        self.iter().map(Privilege::letter).collect()
    }

    /// From letters; unknown ones are `None`.
    pub fn from_letters(letters: &str) -> Option<Self> {
        letters.chars().try_fold(Self::NONE, |set, letter| {
            let found = Privilege::ALL.into_iter().find(|privilege| privilege.letter() == letter)?;
            Some(set.with(Self::of(&[found])))
        })
    }
}

/// What a list of privileges is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AclKind {
    /// The whole lake: PostgreSQL's database.
    Lake,
    /// A database of ours: PostgreSQL's schema.
    Database,
    /// A table or view.
    Table,
}

impl AclKind {
    /// What `ALL PRIVILEGES` means.
    pub fn all(self) -> Privileges {
        use Privilege::{
            Connect, Create, Delete, Insert, References, Select, Temporary, Trigger, Truncate, Update, Usage,
        };
        match self {
            Self::Lake => Privileges::of(&[Create, Connect, Temporary]),
            Self::Database => Privileges::of(&[Usage, Create]),
            Self::Table => Privileges::of(&[Insert, Select, Update, Delete, Truncate, References, Trigger]),
        }
    }
}

/// What one role has, given by one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclItem {
    /// Who has it; `None` is PUBLIC.
    pub grantee: Option<String>,
    /// Who gave it.
    pub grantor: String,
    /// What.
    pub privileges: Privileges,
    /// Those of them that the grantee may give on.
    pub grantable: Privileges,
}

impl fmt::Display for AclItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(grantee) = &self.grantee {
            f.write_str(&acl_name(grantee))?;
        }
        f.write_str("=")?;
        for privilege in self.privileges.iter() {
            let star = if self.grantable.has(privilege) { "*" } else { "" };
            write!(f, "{}{star}", privilege.letter())?;
        }
        write!(f, "/{}", acl_name(&self.grantor))
    }
}

/// A role's name as an `aclitem` has it.
fn acl_name(name: &str) -> String {
    let is_plain = name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Who has what on one object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acl {
    /// For databases: the owner. Tables have theirs in their definitions.
    pub owner: Option<String>,
    /// `None` is what an object has that nobody has granted anything on ([`Acl::initial`]).
    pub items: Option<Vec<AclItem>>,
    /// For the lake: what objects get that are made.
    pub defaults: Vec<DefaultAcl>,
}

/// What `ALTER DEFAULT PRIVILEGES` has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultAcl {
    /// Whose objects.
    pub role: String,
    /// The id of the database they are made in; `None` is any.
    pub database: Option<i64>,
    /// Tables, or databases.
    pub kind: AclKind,
    /// What they get beside what they have anyway.
    pub items: Vec<AclItem>,
}

/// `GRANT`, or `REVOKE`, on one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclEdit {
    /// Whether it takes away.
    pub revoke: bool,
    /// What is given or taken.
    pub privileges: Privileges,
    /// To or from whom; `None` is PUBLIC.
    pub grantees: Vec<Option<String>>,
    /// Who gives or takes.
    pub grantor: String,
    /// WITH GRANT OPTION, GRANT OPTION FOR.
    pub option: bool,
    /// Whether what was given on goes, too.
    pub cascade: bool,
}

impl Acl {
    /// What a `kind` has at first: its owner everything; PUBLIC may connect to the lake, and use the first database, as in
    /// PostgreSQL's `public`.
    pub fn initial(kind: AclKind, owner: &str, is_default_database: bool) -> Vec<AclItem> {
        let public = match kind {
            AclKind::Lake => Privileges::of(&[Privilege::Connect, Privilege::Temporary]),
            AclKind::Database if is_default_database => Privileges::of(&[Privilege::Usage]),
            _ => Privileges::NONE,
        };
        let item = |grantee: Option<&str>, privileges| AclItem {
            grantee: grantee.map(str::to_owned),
            grantor: owner.to_owned(),
            privileges,
            grantable: Privileges::NONE,
        };
        let everyone = (!public.is_empty()).then(|| item(None, public));
        everyone.into_iter().chain([item(Some(owner), kind.all())]).collect()
    }

    /// Whether it says nothing that an object hasn't anyway.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Carries out `edit` on the items of an object of `owner`.
///
/// # Errors
/// [`Error::Dependents`] when what is revoked was given on, and `edit` doesn't cascade.
pub fn edit_items(items: &mut Vec<AclItem>, owner: &str, edit: &AclEdit) -> Result<()> {
    for grantee in &edit.grantees {
        if edit.revoke {
            revoke(items, owner, grantee.as_deref(), &edit.grantor, edit.privileges, edit.option, edit.cascade)?;
        } else {
            let index = items.iter().position(|item| item.grantee == *grantee && item.grantor == edit.grantor);
            let index = index.unwrap_or_else(|| {
                items.push(AclItem {
                    grantee: grantee.clone(),
                    grantor: edit.grantor.clone(),
                    privileges: Privileges::NONE,
                    grantable: Privileges::NONE,
                });
                items.len() - 1
            });
            let item = &mut items[index];
            item.privileges = item.privileges.with(edit.privileges);
            if edit.option {
                item.grantable = item.grantable.with(edit.privileges);
            }
        }
    }
    Ok(())
}

fn revoke(
    items: &mut Vec<AclItem>,
    owner: &str,
    grantee: Option<&str>,
    grantor: &str,
    privileges: Privileges,
    option_only: bool,
    cascade: bool,
) -> Result<()> {
    let Some(index) = items.iter().position(|item| item.grantee.as_deref() == grantee && item.grantor == grantor)
    else {
        return Ok(());
    };
    let item = &mut items[index];
    let lost = item.grantable.and(privileges);
    item.grantable = item.grantable.without(privileges);
    if !option_only {
        item.privileges = item.privileges.without(privileges);
    }
    if item.privileges.is_empty() {
        items.remove(index);
    }
    // What the grantee has given on by a right that it has lost.
    let Some(grantee) = grantee.filter(|grantee| *grantee != owner) else { return Ok(()) };
    let kept = items
        .iter()
        .filter(|item| item.grantee.as_deref() == Some(grantee))
        .fold(Privileges::NONE, |kept, item| kept.with(item.grantable));
    let lost = lost.without(kept);
    let given_on: Vec<(Option<String>, Privileges)> = items
        .iter()
        .filter(|item| item.grantor == grantee && !item.privileges.and(lost).is_empty())
        .map(|item| (item.grantee.clone(), item.privileges.and(lost)))
        .collect();
    if !given_on.is_empty() && !cascade {
        return Err(Error::Dependents {
            message: "dependent privileges exist".to_owned(),
            detail: None,
            hint: Some("Use CASCADE to revoke them too.".to_owned()),
        });
    }
    given_on
        .into_iter()
        .try_for_each(|(next, privileges)| revoke(items, owner, next.as_deref(), grantee, privileges, false, true))
}

/// Puts `to` in the place of `from`, as a new owner or a new name does.
pub(crate) fn rename_in_items(items: &mut Vec<AclItem>, from: &str, to: &str) {
    for item in items.iter_mut() {
        if item.grantee.as_deref() == Some(from) {
            item.grantee = Some(to.to_owned());
        }
        if item.grantor == from {
            to.clone_into(&mut item.grantor);
        }
    }
    // What both had is one item now.
    let mut merged: Vec<AclItem> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        match merged.iter_mut().find(|other| other.grantee == item.grantee && other.grantor == item.grantor) {
            Some(other) => {
                other.privileges = other.privileges.with(item.privileges);
                other.grantable = other.grantable.with(item.grantable);
            }
            None => merged.push(item),
        }
    }
    *items = merged;
}

/// Takes away whatever `role` has and has given.
pub(crate) fn forget_in_items(items: &mut Vec<AclItem>, role: &str) {
    items.retain(|item| item.grantee.as_deref() != Some(role) && item.grantor != role);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn grant(to: &str, by: &str, option: bool) -> AclEdit {
        AclEdit {
            revoke: false,
            privileges: Privileges::of(&[Privilege::Select]),
            grantees: vec![Some(to.to_owned())],
            grantor: by.to_owned(),
            option,
            cascade: false,
        }
    }

    fn texts(items: &[AclItem]) -> Vec<String> {
        items.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn is_written_as_postgresql_does() {
        let mut items = Acl::initial(AclKind::Table, "ann", false);
        assert_eq!(texts(&items), ["ann=arwdDxt/ann"]);
        edit_items(&mut items, "ann", &grant("Bob B", "ann", true)).unwrap();
        assert_eq!(texts(&items), ["ann=arwdDxt/ann", "\"Bob B\"=r*/ann"]);
        assert_eq!(texts(&Acl::initial(AclKind::Lake, "ann", false)), ["=Tc/ann", "ann=CTc/ann"]);
        assert_eq!(texts(&Acl::initial(AclKind::Database, "ann", true)), ["=U/ann", "ann=UC/ann"]);
        let all = AclKind::Table.all();
        assert_eq!(Privileges::from_letters(&all.letters()), Some(all));
        assert_eq!(Privileges::from_letters("q"), None);
    }

    #[test]
    fn what_was_given_on_holds_a_revoke_up_or_goes_with_it() {
        let mut items = Acl::initial(AclKind::Table, "ann", false);
        edit_items(&mut items, "ann", &grant("bob", "ann", true)).unwrap();
        edit_items(&mut items, "ann", &grant("carl", "bob", false)).unwrap();
        let revoke = AclEdit { revoke: true, ..grant("bob", "ann", false) };
        let error = edit_items(&mut items.clone(), "ann", &revoke).unwrap_err();
        assert_eq!(error.to_string(), "dependent privileges exist");
        edit_items(&mut items, "ann", &AclEdit { cascade: true, ..revoke }).unwrap();
        assert_eq!(texts(&items), ["ann=arwdDxt/ann"]);
    }

    #[test]
    fn a_new_owner_takes_the_old_ones_place() {
        let mut items = Acl::initial(AclKind::Table, "ann", false);
        edit_items(&mut items, "ann", &grant("bob", "ann", false)).unwrap();
        rename_in_items(&mut items, "ann", "bob");
        assert_eq!(texts(&items), ["bob=arwdDxt/bob"]);
    }
}
