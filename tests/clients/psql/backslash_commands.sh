# \d and its kin as in PostgreSQL: each must show what it should, and none may say ERROR.
check() {
    local command=$1
    shift
    local out
    # psql ends with 1 when it finds nothing; what it says is looked at.
    out=$(psql -X -c "$command" 2>&1) || true
    if grep -E 'ERROR|FATAL|HINT' <<<"$out"; then echo "in $command"; return 1; fi
    local wanted
    for wanted in "$@"; do
        grep -qE -- "$wanted" <<<"$out" || { echo "no \"$wanted\" in the answer of $command:"; echo "$out"; return 1; }
    done
}
psql -X -q -c "CREATE OR REPLACE VIEW big_orders AS SELECT o_orderkey, o_totalprice FROM orders WHERE o_totalprice > 300000"
check '\d' 'lineitem' 'orders' 'big_orders.*view' 'List of relations'
check '\dt' 'public.*lineitem' 'public.*nation'
check '\dt line*' 'lineitem' '\(1 row\)'
check '\dt public.*' 'orders'
check '\dv' 'big_orders'
check '\d lineitem' 'Table "public.lineitem"|Foreign table "public.lineitem"' 'l_orderkey *\| bigint' \
    'l_extendedprice *\| numeric\(15,2\)' 'l_shipdate *\| date' 'year *\| integer'
check '\d+ lineitem' 'l_orderkey *\| bigint' 'Storage'
check '\d big_orders' 'View "public.big_orders"' 'o_totalprice'
check '\d+ big_orders' 'View definition' '300000'
check '\dn' 'public'
check '\dn+' 'public'
check '\l' 'lake.*UTF8'
check '\l+' 'lake'
check '\du' 'limnos'
check '\dg' 'limnos'
check '\df' 'List of functions'
check '\df abs' 'abs|\(0 rows\)'
check '\di' ''
check '\ds' ''
check '\dm' ''
check '\dT' ''
check '\dp' ''
check '\dd' ''
check '\db' ''
check '\dx' ''
check '\det' ''
check '\sv big_orders' 'CREATE OR REPLACE VIEW' '300000'
check '\conninfo' 'database "lake" as user "limnos"'
check '\encoding' 'UTF8'
check '\d nosuch' 'Did not find any relation named "nosuch"'
psql -X -q -c "DROP VIEW big_orders"
