// Go's pgx: binary results by the types it knows, parameters, batches, a pool, database/sql on top of it, errors, a cancel.
package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	_ "github.com/jackc/pgx/v4/stdlib"
)

const endless = "SELECT count(*) FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(x) WHERE a.x % 7 = b.x % 11"

func plain(value interface{}) string {
	var text string
	switch v := value.(type) {
	case time.Time:
		text = "time " + v.UTC().Format(time.RFC3339Nano)
	case []interface{}:
		parts := make([]string, len(v))
		for at := range v {
			parts[at] = plain(v[at])
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]interface{}:
		keys := make([]string, 0)
		for key := range v {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		parts := make([]string, 0)
		for _, key := range keys {
			parts = append(parts, key+": "+plain(v[key]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case fmt.Stringer:
		text = fmt.Sprintf("%T %s", v, v)
	default:
		text = fmt.Sprintf("%T %+v", v, v)
	}
	return strings.ReplaceAll(text, "\n", "\\n")
}

func say(key string, value interface{}) { fmt.Printf("%s\t%s\n", key, plain(value)) }

func failure(err error) string {
	var told *pgconn.PgError
	if errors.As(err, &told) {
		return "error " + told.Code
	}
	return "error " + err.Error()
}

func rows(found pgx.Rows, err error) interface{} {
	if err != nil {
		return failure(err)
	}
	defer found.Close()
	all := make([]interface{}, 0)
	for found.Next() {
		values, err := found.Values()
		if err != nil {
			return "not understood: " + err.Error()
		}
		for at, value := range values {
			if numeric, ok := value.(interface{ AssignTo(interface{}) error }); ok {
				var s string
				var f float64
				if numeric.AssignTo(&s) == nil {
					values[at] = fmt.Sprintf("%T %s", value, s)
				} else if numeric.AssignTo(&f) == nil {
					values[at] = fmt.Sprintf("%T %v", value, f)
				}
			}
		}
		all = append(all, values)
	}
	if found.Err() != nil {
		return failure(found.Err())
	}
	return all
}

func lines(name string) [][]string {
	text, err := os.ReadFile(os.Getenv("LIMNOS_CLIENTS_HERE") + "/" + name + ".tsv")
	if err != nil {
		panic(err)
	}
	found := make([][]string, 0)
	for _, line := range strings.Split(string(text), "\n") {
		if line != "" && line[0] != '#' {
			found = append(found, strings.SplitN(line, "\t", 2))
		}
	}
	return found
}

func main() {
	ctx := context.Background()
	place := fmt.Sprintf("host=%s port=%s user=%s dbname=%s", os.Getenv("PGHOST"), os.Getenv("PGPORT"), os.Getenv("PGUSER"), os.Getenv("PGDATABASE"))
	db, err := pgx.Connect(ctx, place)
	if err != nil {
		panic(err)
	}
	for _, line := range lines("values") {
		statement, err := db.Prepare(ctx, "", line[1])
		if err == nil {
			field := statement.Fields[0]
			say("type."+line[0], []interface{}{string(field.Name), field.DataTypeOID, field.DataTypeSize, field.TypeModifier})
		}
		say("value."+line[0], rows(db.Query(ctx, line[1])))
		say("simple."+line[0], rows(db.Query(ctx, line[1], pgx.QuerySimpleProtocol(true))))
	}
	day := time.Date(2024, 2, 29, 12, 34, 56, 0, time.UTC)
	for _, parameter := range []struct {
		name, kind string
		value      interface{}
	}{
		{"bool", "boolean", true}, {"int", "int", 7}, {"large", "bigint", int64(1) << 40}, {"float", "double precision", 0.1}, {"numeric", "numeric(10,2)", "1.25"},
		{"text", "text", "it's"}, {"date", "date", day}, {"timestamp", "timestamp", day}, {"timestamptz", "timestamptz", day}, {"bytea", "bytea", []byte{0, 255}},
		{"uuid", "uuid", "00000000-0000-0000-0000-000000000007"}, {"ints", "int[]", []int32{1, 2}}, {"texts", "text[]", []string{"a", "b c"}}, {"null", "int", nil},
	} {
		say("parameter."+parameter.name, rows(db.Query(ctx, "SELECT $1::"+parameter.kind, parameter.value)))
	}
	say("where", rows(db.Query(ctx, "SELECT count(*) FROM orders WHERE o_orderdate >= $1 AND o_totalprice < $2", day.AddDate(-29, 0, 0), 100000.5)))
	say("any", rows(db.Query(ctx, "SELECT n_nationkey FROM nation WHERE n_name = ANY($1) ORDER BY 1", []string{"FRANCE", "GERMANY"})))
	say("rows", rows(db.Query(ctx, "SELECT * FROM every_type ORDER BY id")))
	for _, line := range lines("errors") {
		_, err := db.Exec(ctx, line[1])
		if err == nil {
			say("error."+line[0], "none")
		} else {
			say("error."+line[0], failure(err))
		}
	}
	batch := &pgx.Batch{}
	for key := 0; key < 10; key++ {
		batch.Queue("SELECT n_name FROM nation WHERE n_nationkey = $1", key)
	}
	batch.Queue("SELECT 1 / 0")
	batch.Queue("SELECT 1")
	results := db.SendBatch(ctx, batch)
	for key := 0; key < 12; key++ {
		say(fmt.Sprintf("batch.%d", key), rows(results.Query()))
	}
	results.Close()
	digest := sha256.New()
	count := 0
	many, err := db.Query(ctx, "SELECT id, title, price::text, sold_on FROM many ORDER BY id")
	for err == nil && many.Next() {
		values, _ := many.Values()
		digest.Write([]byte(plain(values)))
		count++
	}
	say("many", []interface{}{count, fmt.Sprintf("%x", digest.Sum(nil))[:16]})
	tx, err := db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		say("transaction", failure(err))
	} else {
		say("transaction.readonly", rows(tx.Query(ctx, "SHOW transaction_read_only")))
		say("transaction.error", rows(tx.Query(ctx, "SELECT 1 / 0")))
		say("transaction.aborted", rows(tx.Query(ctx, "SELECT 1")))
		tx.Rollback(ctx)
		say("transaction.after", rows(db.Query(ctx, "SELECT 2")))
	}
	db.Close(ctx)

	plainDb, err := sql.Open("pgx", place)
	if err != nil {
		panic(err)
	}
	var name string
	var price sql.NullFloat64
	var on time.Time
	err = plainDb.QueryRow("SELECT title, price, sold_on FROM many WHERE id = $1", 42).Scan(&name, &price, &on)
	say("database/sql", []interface{}{name, price.Float64, on, err})
	query, err := plainDb.Query("SELECT id, c_numeric, c_text, c_timestamp FROM every_type ORDER BY id")
	if err != nil {
		say("column types", failure(err))
	} else {
		types, _ := query.ColumnTypes()
		for _, column := range types {
			precision, scale, _ := column.DecimalSize()
			say("column type."+column.Name(), []interface{}{column.DatabaseTypeName(), precision, scale})
		}
		query.Close()
	}
	limited, stop := context.WithTimeout(ctx, 500*time.Millisecond)
	defer stop()
	err = plainDb.QueryRowContext(limited, endless).Scan(&count)
	say("cancel", err != nil)
	say("after", plainDb.QueryRow("SELECT 1").Scan(&count) == nil)
	plainDb.Close()
}
