//! Statements about roles and rights, and that no text keeps a password.

use crate::parse::{Dialect, parse};

#[test]
fn a_password_leaves_the_text() {
    for (sql, shown) in [
        ("CREATE ROLE a PASSWORD 'x'", "CREATE ROLE a PASSWORD '********'"),
        ("ALTER USER a WITH ENCRYPTED PASSWORD $$x$$ LOGIN;", "ALTER USER a WITH ENCRYPTED PASSWORD '********' LOGIN"),
        ("create user a /* x */ password E'x\\'' login", "create user a /* x */ password '********' login"),
        ("ALTER ROLE a PASSWORD NULL", "ALTER ROLE a PASSWORD NULL"),
    ] {
        let parsed = parse(sql, Dialect::Postgres).unwrap();
        assert_eq!(parsed[0].sql, shown);
        assert!(!format!("{:?}", parsed[0]).contains("'x"), "{:?}", parsed[0]);
    }
    for sql in [
        "CREATE ROLE a PASSWORD 'geheim' 'geheim'",
        "CREATE ROLE a 'geheim'",
        "ALTER ROLE a PASSWORD $$geheim$$ $$geheim$$",
    ] {
        let error = parse(sql, Dialect::Postgres).unwrap_err();
        assert!(!error.to_string().contains("geheim"), "{error}");
    }
}

#[test]
fn grants_are_told_from_memberships() {
    let shown = |sql: &str| match parse(sql, Dialect::Postgres) {
        Ok(parsed) => format!("{:?}", parsed[0].statement),
        Err(error) => error.to_string(),
    };
    for (sql, wanted) in [
        (
            "GRANT a, \"B\" TO c WITH ADMIN OPTION",
            "Role(Membership { revoke: false, roles: [Named(\"a\"), Named(\"B\")], members: [Named(\"c\")], admin: true, cascade: false })",
        ),
        (
            "REVOKE ADMIN OPTION FOR a FROM CURRENT_USER",
            "Role(Membership { revoke: true, roles: [Named(\"a\")], members: [Current], admin: true, cascade: false })",
        ),
        ("GRANT SELECT ON t TO GROUP a", "Role(Grant { objects: Tables([ObjectName { database: None, name: \"t\" }])"),
        ("GRANT ALL PRIVILEGES ON ALL TABLES IN SCHEMA s TO PUBLIC", "Role(Grant { objects: AllTablesIn([\"s\"])"),
        ("GRANT ALL ON ALL SEQUENCES IN SCHEMA s TO a", "Role(Grant { objects: NothingIn([\"s\"])"),
        ("GRANT USAGE ON schema TO a", "Role(Grant { objects: Tables("),
        ("REVOKE GRANT OPTION FOR SELECT ON TABLE s.t FROM a CASCADE", "Role(Grant { objects: Tables("),
        ("GRANT SELECT (a) ON t TO b", "privileges on single columns are not supported"),
        ("GRANT EXECUTE ON FUNCTION f() TO a", "privilege type EXECUTE is not supported"),
        ("GRANT SELECT ON t", "syntax error at end of input"),
        ("GRANT SELECT ON t TO a b", "syntax error at or near \"b\""),
        (
            "ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO a",
            "Role(DefaultPrivileges { roles: [], schemas: [\"s\"], kind: Some(Table)",
        ),
    ] {
        assert!(shown(sql).starts_with(wanted), "{sql}: {}", shown(sql));
    }
}
