// pgJDBC: DatabaseMetaData, values by every getter, parameters, server-prepared statements, fetch sizes, batches, CopyManager.

import java.io.StringWriter;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.*;
import java.util.*;

public class Jdbc {
    static final List<String> TABLES = List.of("every_type", "many", "nation", "orders", "region", "totals");
    static final String ENDLESS =
        "SELECT count(*) FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(x) WHERE a.x % 7 = b.x % 11";
    static Connection connection;

    interface Run {
        Object run() throws Exception;
    }

    static String plain(Object value) throws Exception {
        if (value == null) return "null";
        if (value instanceof byte[] bytes) return "bytes " + HexFormat.of().formatHex(bytes);
        if (value instanceof java.sql.Array array) return "array of " + array.getBaseTypeName() + " " + plain(array.getArray());
        if (value instanceof Object[] values) value = Arrays.asList(values);
        if (value instanceof List<?> list) {
            StringJoiner joined = new StringJoiner(", ", "[", "]");
            for (Object each : list) joined.add(plain(each));
            return joined.toString();
        }
        return value.getClass().getSimpleName() + " " + value.toString().replace("\n", "\\n");
    }

    static void say(String key, Object value) throws Exception {
        System.out.println(key + "\t" + plain(value));
    }

    static void attempt(String key, Run run) throws Exception {
        try {
            say(key, run.run());
        } catch (SQLException error) {
            say(key, "error " + error.getSQLState());
            if (!connection.getAutoCommit()) connection.rollback();
        } catch (RuntimeException error) {
            say(key, error.getClass().getSimpleName() + " " + error.getMessage());
        }
    }

    static List<String[]> lines(String name) throws Exception {
        List<String[]> found = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(System.getenv("LIMNOS_CLIENTS_HERE"), name + ".tsv")))
            if (!line.isEmpty() && !line.startsWith("#")) found.add(line.split("\t", 2));
        return found;
    }

    static List<Object> rows(ResultSet results, String... columns) throws Exception {
        List<Object> rows = new ArrayList<>();
        ResultSetMetaData meta = results.getMetaData();
        while (results.next()) {
            List<Object> row = new ArrayList<>();
            if (columns.length > 0) for (String column : columns) row.add(results.getObject(column));
            else for (int at = 1; at <= meta.getColumnCount(); at++) row.add(results.getObject(at));
            rows.add(row);
        }
        results.close();
        return rows;
    }

    static List<Object> ours(ResultSet results, String... columns) throws Exception {
        List<Object> rows = new ArrayList<>();
        while (results.next()) {
            if (!TABLES.contains(results.getString("TABLE_NAME"))) continue;
            List<Object> row = new ArrayList<>();
            for (String column : columns) row.add(results.getObject(column));
            rows.add(row);
        }
        return rows;
    }

    static Object digest(ResultSet results) throws Exception {
        var seen = java.security.MessageDigest.getInstance("SHA-256");
        int columns = results.getMetaData().getColumnCount();
        long count = 0;
        while (results.next()) {
            for (int at = 1; at <= columns; at++) seen.update(plain(results.getObject(at)).getBytes("UTF-8"));
            count++;
        }
        return List.of(count, HexFormat.of().formatHex(seen.digest()).substring(0, 16));
    }

    static Connection connect(String options) throws Exception {
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
        return DriverManager.getConnection(url + "?user=" + System.getenv("PGUSER") + options);
    }

    static Object query(String sql, Object... parameters) throws Exception {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int at = 0; at < parameters.length; at++) statement.setObject(at + 1, parameters[at]);
            return rows(statement.executeQuery());
        }
    }

    public static void main(String[] arguments) throws Exception {
        TimeZone.setDefault(TimeZone.getTimeZone("UTC"));
        // prepareThreshold=-1 asks for binary results from the first execution on.
        for (String way : List.of("", "&prepareThreshold=-1", "&preferQueryMode=simple")) {
            connection = connect(way);
            String prefix = way.isEmpty() ? "text" : way.contains("simple") ? "simple" : "binary";
            for (String[] line : lines("values"))
                attempt(prefix + "." + line[0], () -> {
                    try (PreparedStatement statement = connection.prepareStatement(line[1]); ResultSet results = statement.executeQuery()) {
                        ResultSetMetaData meta = results.getMetaData();
                        if (prefix.equals("text"))
                            say("type." + line[0], List.of(meta.getColumnLabel(1), meta.getColumnTypeName(1), meta.getColumnType(1), meta.getPrecision(1), meta.getScale(1), meta.getColumnDisplaySize(1), meta.getColumnClassName(1)));
                        results.next();
                        return Arrays.asList(results.getObject(1), results.getObject(1) instanceof byte[] ? null : results.getString(1));
                    }
                });
            attempt(prefix + ".rows", () -> query("SELECT * FROM every_type ORDER BY id"));
            connection.close();
        }

        connection = connect("");
        DatabaseMetaData meta = connection.getMetaData();
        attempt("meta.product", () -> List.of(meta.getDatabaseProductName(), meta.getDatabaseMajorVersion(), meta.getUserName(), meta.isReadOnly(), meta.getMaxConnections() > 0));
        attempt("meta.limits", () -> List.of(meta.getMaxColumnNameLength(), meta.getMaxIndexLength() >= 0, meta.getIdentifierQuoteString(), meta.getSearchStringEscape()));
        attempt("meta.keywords", () -> meta.getSQLKeywords().length() > 100);
        attempt("meta.catalogs", () -> rows(meta.getCatalogs()).stream().filter(row -> row.toString().contains(System.getenv("PGDATABASE"))).toList());
        attempt("meta.schemas", () -> rows(meta.getSchemas(null, "public")));
        attempt("meta.all schemas", () -> rows(meta.getSchemas()).stream().map(row -> ((List<?>) row).get(0).toString()).filter(name -> List.of("public", "pg_catalog", "information_schema").contains(name)).toList());
        attempt("meta.table types", () -> rows(meta.getTableTypes()));
        attempt("meta.tables", () -> ours(meta.getTables(null, "public", "%", null), "TABLE_CAT", "TABLE_SCHEM", "TABLE_NAME", "TABLE_TYPE", "REMARKS"));
        attempt("meta.only tables", () -> ours(meta.getTables(null, "public", "%", new String[] {"TABLE"}), "TABLE_NAME"));
        attempt("meta.only views", () -> ours(meta.getTables(null, "public", "%", new String[] {"VIEW"}), "TABLE_NAME"));
        attempt("meta.partitioned", () -> ours(meta.getTables(null, "public", "o%", new String[] {"TABLE", "PARTITIONED TABLE", "FOREIGN TABLE"}), "TABLE_NAME", "TABLE_TYPE"));
        for (String table : TABLES)
            attempt("meta.columns." + table, () -> ours(meta.getColumns(null, "public", table, "%"), "TABLE_NAME", "COLUMN_NAME", "DATA_TYPE", "TYPE_NAME", "COLUMN_SIZE", "DECIMAL_DIGITS", "NULLABLE", "REMARKS", "COLUMN_DEF", "CHAR_OCTET_LENGTH", "ORDINAL_POSITION", "IS_NULLABLE", "IS_AUTOINCREMENT"));
        attempt("meta.primary keys", () -> rows(meta.getPrimaryKeys(null, "public", "every_type")));
        attempt("meta.imported keys", () -> rows(meta.getImportedKeys(null, "public", "every_type")));
        attempt("meta.exported keys", () -> rows(meta.getExportedKeys(null, "public", "every_type")));
        attempt("meta.index", () -> rows(meta.getIndexInfo(null, "public", "many", false, true)));
        attempt("meta.privileges", () -> rows(meta.getTablePrivileges(null, "public", "many"), "TABLE_NAME", "GRANTOR", "GRANTEE", "PRIVILEGE", "IS_GRANTABLE"));
        attempt("meta.column privileges", () -> rows(meta.getColumnPrivileges(null, "public", "many", "id"), "COLUMN_NAME", "PRIVILEGE"));
        attempt("meta.best row", () -> rows(meta.getBestRowIdentifier(null, "public", "many", DatabaseMetaData.bestRowSession, true)));
        attempt("meta.version columns", () -> rows(meta.getVersionColumns(null, "public", "many")));
        attempt("meta.functions", () -> rows(meta.getFunctions(null, null, "nosuch%")));
        attempt("meta.procedures", () -> rows(meta.getProcedures(null, null, "nosuch%")));
        attempt("meta.types", () -> rows(meta.getTypeInfo(), "TYPE_NAME", "DATA_TYPE").stream().filter(row -> row.toString().matches("\\[(bool|int[248]|float[48]|numeric|text|varchar|bpchar|date|time|timetz|timestamp|timestamptz|interval|bytea|uuid|json|jsonb|name|oid|_int4|_text),.*")).map(Object::toString).sorted().toList());
        attempt("meta.udts", () -> rows(meta.getUDTs(null, "public", "nosuch%", null)));
        attempt("meta.client info", () -> rows(meta.getClientInfoProperties(), "NAME"));

        for (var parameter : new TreeMap<String, Object>(Map.ofEntries(
                Map.entry("bool:boolean", true), Map.entry("short:smallint", (short) 7), Map.entry("int:int", 7), Map.entry("long:bigint", 1L << 40),
                Map.entry("float:real", 0.5f), Map.entry("double:double precision", 0.1), Map.entry("numeric:numeric(10,2)", new BigDecimal("1.25")),
                Map.entry("text:text", "it's"), Map.entry("date:date", java.time.LocalDate.of(2024, 2, 29)), Map.entry("sqldate:date", java.sql.Date.valueOf("2024-02-29")),
                Map.entry("time:time", java.time.LocalTime.of(12, 34, 56)), Map.entry("timestamp:timestamp", java.time.LocalDateTime.of(2024, 2, 29, 12, 34, 56)),
                Map.entry("sqltimestamp:timestamp", Timestamp.valueOf("2024-02-29 12:34:56.789")),
                Map.entry("timestamptz:timestamptz", java.time.OffsetDateTime.parse("2024-02-29T12:00:00+02:00")), Map.entry("bytea:bytea", new byte[] {0, -1}),
                Map.entry("uuid:uuid", new UUID(0, 7)))).entrySet()) {
            String[] parts = parameter.getKey().split(":");
            attempt("parameter." + parts[0], () -> query("SELECT ?::" + parts[1], parameter.getValue()));
        }
        attempt("parameter.null", () -> { try (PreparedStatement s = connection.prepareStatement("SELECT ?::int")) { s.setNull(1, Types.INTEGER); return rows(s.executeQuery()); } });
        attempt("parameter.array", () -> { try (PreparedStatement s = connection.prepareStatement("SELECT n_nationkey FROM nation WHERE n_name = ANY(?) ORDER BY 1")) { s.setArray(1, connection.createArrayOf("text", new String[] {"FRANCE", "GERMANY"})); return rows(s.executeQuery()); } });
        attempt("parameter.where", () -> query("SELECT count(*) FROM orders WHERE o_orderdate >= ? AND o_totalprice < ?", java.sql.Date.valueOf("1995-06-01"), new BigDecimal("100000.00")));
        attempt("parameter.meta", () -> { try (PreparedStatement s = connection.prepareStatement("SELECT * FROM orders WHERE o_orderdate >= ? AND o_totalprice < ? AND o_clerk = ?")) { ParameterMetaData p = s.getParameterMetaData(); return List.of(p.getParameterTypeName(1), p.getParameterTypeName(2), p.getParameterTypeName(3), s.getMetaData().getColumnCount()); } });
        // The sixth execution is by a statement that the server has prepared, with results in binary.
        attempt("prepared", () -> {
            List<Object> found = new ArrayList<>();
            try (PreparedStatement s = connection.prepareStatement("SELECT n_name, n_nationkey, 1.5::numeric(4,2), DATE '2024-02-29', c_float8, c_timestamptz FROM nation, every_type WHERE n_nationkey = ? AND id = 1")) {
                for (int key = 0; key < 9; key++) { s.setInt(1, key); found.addAll(rows(s.executeQuery())); }
            }
            return found;
        });
        // Once text, then a number, as tools do that set parameters by what a user typed.
        attempt("retyped", () -> {
            List<Object> found = new ArrayList<>();
            try (PreparedStatement s = connection.prepareStatement("SELECT ?::text || '!'")) {
                for (int n = 0; n < 7; n++) { if (n % 2 == 0) s.setString(1, "x" + n); else s.setInt(1, n); found.addAll(rows(s.executeQuery())); }
            }
            return found;
        });
        attempt("escapes", () -> query("SELECT {fn concat('a', 'b')}, {d '2024-02-29'}, {ts '2024-02-29 01:02:03'}, {fn ucase('x')}"));
        attempt("all", () -> digest(connection.createStatement().executeQuery("SELECT * FROM many ORDER BY id")));
        connection.setAutoCommit(false);
        attempt("fetch size", () -> { try (Statement s = connection.createStatement()) { s.setFetchSize(500); return digest(s.executeQuery("SELECT * FROM many ORDER BY id")); } });
        attempt("fetch size.early", () -> { try (Statement s = connection.createStatement()) { s.setFetchSize(10); ResultSet r = s.executeQuery("SELECT * FROM many ORDER BY id"); r.next(); return r.getInt(1); } });
        attempt("max rows", () -> { try (Statement s = connection.createStatement()) { s.setMaxRows(3); return rows(s.executeQuery("SELECT id FROM many ORDER BY id")); } });
        attempt("scrolls", () -> { try (Statement s = connection.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY)) { ResultSet r = s.executeQuery("SELECT n_name FROM nation ORDER BY n_nationkey"); r.last(); int last = r.getRow(); r.absolute(3); return List.of(last, r.getString(1)); } });
        attempt("transaction.error", () -> query("SELECT 1 / 0"));
        attempt("transaction.after", () -> query("SELECT 1"));
        connection.rollback();
        attempt("savepoint", () -> { Savepoint point = connection.setSavepoint("s"); connection.rollback(point); return "kept"; });
        connection.rollback();
        connection.setAutoCommit(true);
        attempt("isolation", () -> { int before = connection.getTransactionIsolation(); connection.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ); int after = connection.getTransactionIsolation(); connection.setTransactionIsolation(before); return List.of(before, after); });
        attempt("read only", () -> { connection.setReadOnly(true); Object shown = query("SHOW transaction_read_only"); connection.setReadOnly(false); return shown; });
        attempt("schema", () -> { String before = connection.getSchema(); connection.setSchema("public"); return List.of(before, connection.getSchema(), connection.getCatalog(), connection.isValid(5)); });
        attempt("client info", () -> { connection.setClientInfo("ApplicationName", "tried"); return query("SHOW application_name"); });
        attempt("batch", () -> {
            try (Statement s = connection.createStatement()) {
                s.execute("DROP TABLE IF EXISTS from_jdbc");
                s.execute("CREATE TABLE from_jdbc (id int, name text, d date)");
            }
            int[] counts;
            try (PreparedStatement s = connection.prepareStatement("INSERT INTO from_jdbc VALUES (?, ?, ?)")) {
                for (int n = 0; n < 5; n++) { s.setInt(1, n); s.setString(2, n == 3 ? null : "n" + n); s.setDate(3, java.sql.Date.valueOf("2024-02-29")); s.addBatch(); }
                counts = s.executeBatch();
            }
            return List.of(Arrays.stream(counts).boxed().toList(), query("SELECT * FROM from_jdbc ORDER BY id"));
        });
        attempt("batch.drop", () -> connection.createStatement().executeUpdate("DROP TABLE IF EXISTS from_jdbc"));
        attempt("copy", () -> {
            StringWriter out = new StringWriter();
            long rows = new org.postgresql.copy.CopyManager(connection.unwrap(org.postgresql.core.BaseConnection.class)).copyOut("COPY (SELECT id, c_text, c_numeric FROM every_type ORDER BY id) TO STDOUT WITH CSV", out);
            return List.of(rows, out.toString());
        });
        attempt("several", () -> { try (Statement s = connection.createStatement()) { List<Object> found = new ArrayList<>(); boolean more = s.execute("SELECT 1; SELECT 2"); while (more) { found.addAll(rows(s.getResultSet())); more = s.getMoreResults(); } return found; } });
        attempt("warnings", () -> { try (Statement s = connection.createStatement()) { s.execute("DROP TABLE IF EXISTS nosuch"); return List.of(s.getWarnings().getSQLState(), s.getWarnings().getMessage()); } });
        for (String[] line : lines("errors"))
            try (Statement s = connection.createStatement()) {
                s.execute(line[1]);
                say("error." + line[0], "none");
            } catch (org.postgresql.util.PSQLException error) {
                var told = error.getServerErrorMessage();
                say("error." + line[0], error.getSQLState());
                say("message." + line[0], told.getMessage());
                say("position." + line[0], told.getPosition());
            }
        attempt("cancel", () -> { try (Statement s = connection.createStatement()) { new java.util.Timer(true).schedule(new TimerTask() { public void run() { try { s.cancel(); } catch (SQLException ignored) { } } }, 500); return rows(s.executeQuery(ENDLESS)); } });
        attempt("query timeout", () -> { try (Statement s = connection.createStatement()) { s.setQueryTimeout(1); return rows(s.executeQuery(ENDLESS)); } });
        attempt("after", () -> query("SELECT 1"));
        connection.close();
        for (int n = 0; n < 10; n++) { connection = connect(""); query("SELECT 1"); connection.close(); }
        say("reconnected", 10);
    }
}
