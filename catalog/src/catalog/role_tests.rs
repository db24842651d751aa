//! Roles and rights through the catalog's public door, on every store.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::places::places;
use super::tests::{create_table, partitioned_table};
use crate::{
    AclChange, AclEdit, AclKind, AclObject, Catalog, Change, Error, Membership, Privilege, Privileges, RoleDefinition,
    TableDefinition, TableName,
};

fn create(name: &str, member_of: &[&str]) -> Change {
    let membership = Membership { admin: false, grantor: "limnos".to_owned() };
    let member_of = member_of.iter().map(|group| ((*group).to_owned(), membership.clone())).collect();
    let definition = RoleDefinition {
        can_login: true,
        verifier: Some("SCRAM-SHA-256$4096:a$b:c".to_owned()),
        member_of,
        ..RoleDefinition::default()
    };
    Change::CreateRole { name: name.to_owned(), definition }
}

fn edit(to: &str, by: &str) -> AclEdit {
    AclEdit {
        revoke: false,
        privileges: Privileges::of(&[Privilege::Select]),
        grantees: vec![Some(to.to_owned())],
        grantor: by.to_owned(),
        option: false,
        cascade: false,
    }
}

fn grant(table: &str, to: &str, by: &str) -> Change {
    let object = AclObject::Table(TableName::new("default", table));
    Change::AlterAcl { object, change: AclChange::Edit(edit(to, by)) }
}

fn owned_table(name: &str, owner: &str) -> Change {
    create_table(name, TableDefinition { owner: owner.to_owned(), ..partitioned_table(&[]) })
}

fn items(catalog: &Catalog, table: &str) -> Vec<String> {
    let snapshot = catalog.snapshot();
    let id = snapshot.table(&TableName::new("default", table)).unwrap().id;
    let items = snapshot.acls.get(&id).and_then(|acl| acl.items.clone()).unwrap_or_default();
    items.iter().map(ToString::to_string).collect()
}

#[test]
fn roles_and_rights_are_kept() {
    for place in places() {
        let catalog = place.open();
        catalog
            .commit(vec![
                create("staff", &[]),
                create("Ann", &["staff", "pg_monitor"]),
                owned_table("default.t", "Ann"),
                grant("t", "staff", "Ann"),
            ])
            .unwrap();
        let before = catalog.snapshot();
        drop(catalog);
        let catalog = place.open();
        let after = catalog.snapshot();
        assert_eq!((&before.roles, &before.acls), (&after.roles, &after.acls));
        assert_eq!(items(&catalog, "t"), ["Ann=arwdDxt/Ann", "staff=r/Ann"]);
        let roles: Vec<String> = after.roles_of("Ann", true).into_iter().collect();
        assert_eq!(
            roles,
            ["Ann", "pg_monitor", "pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables", "staff"]
        );
        // Names keep their case.
        assert!(catalog.snapshot().role("ann").is_err());
        // A verifier is shown to nobody.
        assert!(!format!("{:?}", after.role("Ann").unwrap()).contains("SCRAM"));
    }
}

#[test]
fn other_servers_see_roles_and_rights() {
    for place in places().iter().filter(|place| place.is_shared()) {
        let (one, other) = (place.open(), place.open());
        one.commit(vec![create("ann", &[]), owned_table("default.t", "limnos"), grant("t", "ann", "limnos")]).unwrap();
        // A commit of its own lets the other read what there is.
        other.commit(vec![create("bob", &[])]).unwrap();
        assert_eq!(items(&other, "t"), ["limnos=arwdDxt/limnos", "ann=r/limnos"]);
        assert_eq!(other.snapshot().roles.len(), 2);
    }
}

#[test]
fn what_a_commit_refuses_leaves_nothing() {
    for place in places() {
        let catalog = place.open();
        catalog.commit(vec![create("a", &[]), create("b", &["a"])]).unwrap();
        let error = catalog.commit(vec![create("c", &["b"]), create("c", &[])]).unwrap_err();
        assert_eq!(error.to_string(), "role \"c\" already exists");
        assert!(catalog.snapshot().role("c").is_err());
        let mut definition = catalog.snapshot().role("a").unwrap().definition.clone();
        definition.member_of.insert("b".to_owned(), Membership { admin: false, grantor: "limnos".to_owned() });
        let alter = Change::AlterRole { name: "a".to_owned(), definition, base_version: None };
        let error = catalog.commit(vec![alter]).unwrap_err();
        assert!(matches!(error, Error::Loop { .. }));
        assert_eq!(error.to_string(), "role \"b\" is a member of role \"a\"");
        for reserved in ["pg_mine", "public", "none"] {
            assert!(matches!(catalog.commit(vec![create(reserved, &[])]), Err(Error::Reserved { .. })));
        }
        assert!(matches!(catalog.commit(vec![create("d", &["nobody"])]), Err(Error::NotFound { kind: "role", .. })));
    }
}

#[test]
fn a_role_with_dependents_stays_until_they_are_gone() {
    for place in places() {
        let catalog = place.open();
        catalog
            .commit(vec![
                create("ann", &[]),
                create("bob", &["ann"]),
                owned_table("default.t", "ann"),
                owned_table("default.u", "bob"),
                grant("u", "ann", "bob"),
            ])
            .unwrap();
        let drop = || Change::DropRole { name: "ann".to_owned(), if_exists: false };
        let Err(Error::Dependents { message, detail, .. }) = catalog.commit(vec![drop()]) else { panic!("it stays") };
        assert_eq!(message, "role \"ann\" cannot be dropped because some objects depend on it");
        assert_eq!(detail.unwrap(), "owner of table default.t\nprivileges for table default.u");
        let reassign = Change::ReassignOwned { from: "ann".to_owned(), to: "bob".to_owned() };
        catalog.commit(vec![reassign, Change::ForgetRights { role: "ann".to_owned() }, drop()]).unwrap();
        let snapshot = catalog.snapshot();
        assert_eq!(snapshot.table(&TableName::new("default", "t")).unwrap().owner, "bob");
        assert!(snapshot.role("bob").unwrap().member_of.is_empty());
        assert_eq!(items(&catalog, "u"), ["bob=arwdDxt/bob"]);
    }
}

#[test]
fn a_new_name_is_put_everywhere() {
    for place in places() {
        let catalog = place.open();
        catalog
            .commit(vec![
                create("ann", &[]),
                create("bob", &["ann"]),
                owned_table("default.t", "ann"),
                grant("t", "bob", "ann"),
            ])
            .unwrap();
        catalog.commit(vec![Change::RenameRole { from: "ann".to_owned(), to: "Anne".to_owned() }]).unwrap();
        let snapshot = catalog.snapshot();
        assert_eq!(snapshot.table(&TableName::new("default", "t")).unwrap().owner, "Anne");
        assert_eq!(items(&catalog, "t"), ["Anne=arwdDxt/Anne", "bob=r/Anne"]);
        assert!(snapshot.role("bob").unwrap().member_of.contains_key("Anne"));
    }
}

#[test]
fn rights_go_with_their_object_and_new_ones_get_the_defaults() {
    for place in places() {
        let catalog = place.open();
        let change = AclChange::EditDefault {
            role: "ann".to_owned(),
            database: None,
            kind: AclKind::Table,
            edit: edit("bob", "ann"),
        };
        catalog
            .commit(vec![
                create("ann", &[]),
                create("bob", &[]),
                Change::AlterAcl { object: AclObject::Lake, change },
                owned_table("default.t", "ann"),
                owned_table("default.u", "bob"),
            ])
            .unwrap();
        assert_eq!(items(&catalog, "t"), ["ann=arwdDxt/ann", "bob=r/ann"]);
        assert_eq!(items(&catalog, "u"), Vec::<String>::new());
        let name = TableName::new("default", "t");
        catalog.commit(vec![Change::DropTable { name, view: false, if_exists: false }]).unwrap();
        assert_eq!(catalog.snapshot().acls.len(), 1);
    }
}

#[test]
fn an_export_has_roles_and_rights() {
    for place in places() {
        let catalog = place.open();
        catalog
            .commit(vec![create("ann", &["pg_monitor"]), owned_table("default.t", "ann"), grant("t", "ann", "ann")])
            .unwrap();
        let mut file = Vec::new();
        catalog.export(&mut file, &mut |_| {}).unwrap();
        let other = Catalog::open_in_memory().unwrap();
        other.import(&mut file.as_slice(), false, &mut |_| {}).unwrap();
        let (is, was) = (other.snapshot(), catalog.snapshot());
        assert_eq!((&is.roles, &is.acls), (&was.roles, &was.acls));
        let without = String::from_utf8(file).unwrap().replace("\"object\":", "\"object\":9");
        assert!(Catalog::open_in_memory().unwrap().import(&mut without.as_bytes(), false, &mut |_| {}).is_err());
    }
}
