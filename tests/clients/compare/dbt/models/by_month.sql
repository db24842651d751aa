{{ config(materialized='table') }}
select year, month, count(*) as orders, sum(o_totalprice) as revenue
from public.orders
group by year, month
