{%- set max_depth = 9 %}
with spans as (

    select
        input.*,
        input.reported_cost_usd is not null
        or input.input_tokens is not null
        or input.output_tokens is not null as has_usage
    from {{ ref('input_spans') }} as input
    inner join {{ ref('int_as_of') }} as clock on input.started_at <= clock.as_of

),

roots as (

    select * from {{ ref('int_interaction_roots') }}

),

interactions as (

    select
        interaction_id,
        agent_name,
        agent_version
    from {{ ref('int_interactions_configured') }}

),

prices as (

    {{ effective_versions(ref('model_prices'), ['model'], open_start=false) }}

),

-- A span that stands above usage repeats it. Climb from every span with usage to those above it.
parents as (

    select distinct parent_span_id as span_id
    from spans
    where parent_span_id is not null

),

inner_spans as (

    select
        spans.span_id,
        spans.parent_span_id
    from spans
    inner join parents on spans.span_id = parents.span_id

),

above_1 as (

    select distinct parent_span_id as span_id
    from spans
    where has_usage and parent_span_id is not null and parent_span_id != span_id

),
{% for level in range(2, max_depth + 1) %}
above_{{ level }} as (

    select distinct inner_spans.parent_span_id as span_id
    from inner_spans
    inner join above_{{ level - 1 }} as below on inner_spans.span_id = below.span_id
    where inner_spans.parent_span_id is not null

),
{% endfor %}
repetitions as (

    {%- for level in range(1, max_depth + 1) %}
    select span_id from above_{{ level }}
    {{ 'union' if not loop.last }}
    {%- endfor %}

),

priced as (

    select
        spans.*,
        repetitions.span_id is not null as is_repetition,
        (
            greatest(coalesce(spans.input_tokens, 0) - coalesce(spans.cached_input_tokens, 0), 0)
            * prices.input_usd_per_mtok
            + coalesce(spans.cached_input_tokens, 0)
            * coalesce(prices.cached_input_usd_per_mtok, prices.input_usd_per_mtok)
            + coalesce(spans.output_tokens, 0) * prices.output_usd_per_mtok
        ) as usd_per_million
    from spans
    left join repetitions on spans.span_id = repetitions.span_id
    left join prices
        on spans.model = prices.model
            and {{ is_effective('prices', 'spans.started_at') }}

),

final as (

    select
        priced.span_id,
        interactions.interaction_id,
        coalesce(priced.agent_name, interactions.agent_name) as agent_name,
        coalesce(priced.agent_version, interactions.agent_version) as agent_version,
        priced.operation,
        priced.name,
        priced.trace_id,
        priced.started_at,
        {{ seconds_between('priced.started_at', 'priced.ended_at') }} * 1000 as duration_ms,
        priced.error_type is not null as is_error,
        coalesce(priced.input_tokens, 0) + coalesce(priced.output_tokens, 0) as tokens,
        priced.is_repetition,
        cast(
            case
                when priced.is_repetition then 0
                when priced.reported_cost_usd is not null then priced.reported_cost_usd
                when priced.has_usage
                    then round(cast(priced.usd_per_million as {{ type_double() }}) / 1000000, 10)
                when priced.operation != 'inference' then 0
            end as {{ type_money() }}
        ) as cost_usd
    from priced
    left join roots on priced.interaction_id = roots.interaction_id
    left join interactions on roots.root_interaction_id = interactions.interaction_id

)

select * from final
