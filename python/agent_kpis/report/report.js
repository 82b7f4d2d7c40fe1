(async () => {
  const { config, charts } = JSON.parse(document.getElementById("charts").textContent);
  const options = { mode: "vega-lite", config, renderer: "svg", actions: false, defaultStyle: false };
  for (const [id, spec] of Object.entries(charts)) {
    const place = document.getElementById(id);
    try {
      await vegaEmbed(place, spec, options);
    } catch (error) {
      place.textContent = "This chart could not be drawn; its numbers are in the table.";
      console.error(id, error);
    }
  }
  document.documentElement.dataset.drawn = "yes";
})();
