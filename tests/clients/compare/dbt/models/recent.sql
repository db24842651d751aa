{{ config(materialized='incremental') }}
select id, title, price, sold_on
from public.many
where id <= 500
{% if is_incremental() %} and id > (select max(id) from {{ this }}) {% endif %}
