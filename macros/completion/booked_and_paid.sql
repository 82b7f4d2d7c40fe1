{#- Booking: confirmed and paid, in either order, and neither taken back before maturity. -#}
{% macro completed_booked_and_paid(t) %}{{ t }}.booking_stood_at{% endmacro %}

{% macro basis_booked_and_paid() %}booking{% endmacro %}
