select n.n_nationkey, n.n_name, r.label
from public.nation n
left join {{ ref('regions') }} r on r.key = n.n_regionkey
