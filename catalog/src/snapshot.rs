//! [`Snapshot`]: one immutable view of the catalog.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::block::Private;
use crate::crawler::{ClassifierDefinition, CrawlerDefinition};
use crate::object::{Definition, Object, Objects};
use crate::{
    Acl, Classifier, Crawler, Database, Error, Report, ReportDefinition, Result, Role, RoleDefinition, Table,
    TableName, Writes, near,
};

/// Everything that exists at one catalog version. Held by a statement from planning to its last row.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Grows by one with each commit.
    pub version: i64,
    /// By name.
    pub databases: BTreeMap<String, Arc<Database>>,
    /// By full name.
    pub tables: BTreeMap<TableName, Arc<Table>>,
    /// By name.
    pub crawlers: Objects<CrawlerDefinition>,
    /// By name.
    pub classifiers: Objects<ClassifierDefinition>,
    /// By name.
    pub reports: Objects<ReportDefinition>,
    /// By name.
    pub roles: Objects<RoleDefinition>,
    /// Rights on databases and tables that have any to speak of, by the objects' ids; [`crate::role::LAKE_ID`] is all of it.
    pub acls: BTreeMap<i64, Arc<Acl>>,
    /// What goes on with files: which of them a table has.
    pub writes: Arc<Writes>,
    /// What a transaction block has changed, where this is what it sees.
    pub private: Option<Arc<Private>>,
}

impl Snapshot {
    /// The table or view called `name`, or [`crate::Error::NotFound`] with near names as a hint.
    pub fn table(&self, name: &TableName) -> Result<&Arc<Table>> {
        self.find_table(name).ok_or_else(|| self.table_not_found(name, "table"))
    }

    /// The table or view called `name`, if there is one. Matches without regard to case.
    pub fn find_table(&self, name: &TableName) -> Option<&Arc<Table>> {
        // Names are lower case already nearly always; only then can the second look find more.
        self.tables.get(name).or_else(|| self.tables.get(&TableName::new(&name.database, &name.name)))
    }

    /// The database called `name`, or [`crate::Error::NotFound`] with near names as a hint.
    pub fn database(&self, name: &str) -> Result<&Arc<Database>> {
        self.find_database(name).ok_or_else(|| {
            let lower = name.to_lowercase();
            let hint = near::hint(near::nearest(&lower, self.databases.keys().map(String::as_str)));
            Error::NotFound { kind: "database", name: lower, hint }
        })
    }

    /// The database called `name`, if there is one. Matches without regard to case.
    pub fn find_database(&self, name: &str) -> Option<&Arc<Database>> {
        self.databases.get(name).or_else(|| self.databases.get(&name.to_lowercase()))
    }

    /// The tables and views of one database, by name.
    pub fn tables_in<'a>(&'a self, database: &'a str) -> impl Iterator<Item = &'a Arc<Table>> {
        // From the first name that the database could have, as long as it is the database's: no walk over all tables.
        let first = TableName { database: database.to_owned(), name: String::new() };
        self.tables.range(first..).map(|(_, table)| table).take_while(move |table| table.name.database == database)
    }

    /// The crawler called `name`, or [`crate::Error::NotFound`] with near names as a hint.
    pub fn crawler(&self, name: &str) -> Result<&Arc<Crawler>> {
        self.object(name)
    }

    /// The classifier called `name`, or [`crate::Error::NotFound`] with near names as a hint.
    pub fn classifier(&self, name: &str) -> Result<&Arc<Classifier>> {
        self.object(name)
    }

    /// The report called `name`, or [`crate::Error::NotFound`] with near names as a hint.
    pub fn report(&self, name: &str) -> Result<&Arc<Report>> {
        self.object(name)
    }

    /// The role called exactly `name`, or [`crate::Error::NotFound`] with near names as a hint.
    pub fn role(&self, name: &str) -> Result<&Arc<Role>> {
        self.roles.get(name).ok_or_else(|| {
            let hint = near::hint(near::nearest(name, self.roles.keys().map(String::as_str)));
            Error::NotFound { kind: "role", name: name.to_owned(), hint }
        })
    }

    /// The object of a kind that is called `name`, in any case.
    pub(crate) fn object<D: Definition>(&self, name: &str) -> Result<&Arc<Object<D>>> {
        let objects = D::objects(self);
        let name = name.to_lowercase();
        objects.get(&name).ok_or_else(|| {
            let hint = near::hint(near::nearest(&name, objects.keys().map(String::as_str)));
            Error::NotFound { kind: D::KIND, name, hint }
        })
    }

    /// The error for a table or view (`kind`) that isn't there, with what the user may have meant.
    pub(crate) fn table_not_found(&self, name: &TableName, kind: &'static str) -> Error {
        let name = TableName::new(&name.database, &name.name);
        let hint = near::hint(self.tables_near(&name));
        Error::NotFound { kind, name: name.to_string(), hint }
    }

    /// Full names like `name`: those of the same name in other databases, else near names in the same database, else
    /// near names anywhere.
    fn tables_near(&self, name: &TableName) -> Vec<&TableName> {
        let same: Vec<&TableName> = self.tables.keys().filter(|table| table.name == name.name).collect();
        if !same.is_empty() {
            return same;
        }
        let here = self.tables_in(&name.database).map(|table| table.name.name.as_str());
        let near_here = near::nearest(&name.name, here);
        if !near_here.is_empty() {
            let tables =
                near_here.into_iter().map(|near| TableName { database: name.database.clone(), name: near.to_owned() });
            return tables.filter_map(|table| self.tables.get_key_value(&table)).map(|(name, _)| name).collect();
        }
        let near_anywhere = near::nearest(&name.name, self.tables.keys().map(|table| table.name.as_str()));
        self.tables.keys().filter(|table| near_anywhere.contains(&table.name.as_str())).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{TableDefinition, TableKind};

    fn snapshot(names: &[(&str, &str)]) -> Snapshot {
        let definition = Arc::new(TableDefinition {
            kind: TableKind::View { sql: "select 1".to_owned(), database: "default".to_owned() },
            columns: Vec::new(),
            partition_keys: Vec::new(),
            parameters: BTreeMap::new(),
            comment: None,
            owner: "limnos".to_owned(),
        });
        let mut snapshot = Snapshot::default();
        for (id, (database, name)) in (1..).zip(names) {
            let name = TableName::new(database, name);
            let (owner, parameters) = (name.database.clone(), BTreeMap::new());
            let owner = Database { id, name: owner, comment: None, location: None, parameters };
            snapshot.databases.insert(name.database.clone(), Arc::new(owner));
            let table = Table {
                id,
                name: name.clone(),
                version: 1,
                partitions_version: 1,
                partition_count: 0,
                data_version: 0,
                created_at_ms: 0,
                updated_at_ms: 0,
                definition: Arc::clone(&definition),
            };
            snapshot.tables.insert(name, Arc::new(table));
        }
        snapshot
    }

    #[test]
    fn offers_near_names() {
        let snapshot = snapshot(&[
            ("sales", "orders"),
            ("sales", "customers"),
            ("web", "orders"),
            ("web", "clicks"),
            ("sales2", "returns"),
        ]);
        let cases = [
            ("sales", "ordrs", Some("Did you mean \"sales.orders\"?")),
            ("sales", "clicks", Some("Did you mean \"web.clicks\"?")),
            ("sale", "orders", Some("Did you mean \"sales.orders\" or \"web.orders\"?")),
            ("web", "custmers", Some("Did you mean \"sales.customers\"?")),
            ("default", "ordres", Some("Did you mean \"sales.orders\" or \"web.orders\"?")),
            ("sales", "weather", None),
        ];
        for (database, name, hint) in cases {
            let error = snapshot.table(&TableName::new(database, name)).unwrap_err();
            assert_eq!(error.to_string(), format!("table \"{database}.{name}\" does not exist"));
            assert_eq!(error.hint(), hint, "{database}.{name}");
        }
        let error = snapshot.database("Salse").unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.hint()),
            ("database \"salse\" does not exist", Some("Did you mean \"sales\"?"))
        );
    }

    #[test]
    fn finds_in_any_case_and_lists_one_database() {
        let snapshot = snapshot(&[("sales", "orders"), ("sales", "b"), ("sales2", "a"), ("sal", "z")]);
        let shouted = TableName { database: "SALES".to_owned(), name: "Orders".to_owned() };
        assert_eq!(snapshot.table(&shouted).unwrap().id, 1);
        assert_eq!(snapshot.database("SALES").unwrap().name, "sales");
        let names: Vec<&str> = snapshot.tables_in("sales").map(|table| table.name.name.as_str()).collect();
        assert_eq!(names, ["b", "orders"]);
        assert_eq!(snapshot.tables_in("none").count(), 0);
    }
}
