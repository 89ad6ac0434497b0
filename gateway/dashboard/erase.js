// The erasure of a lead: asked for here or anywhere else, it leaves nothing on the page.

function forget(leadId) {
  if (state.open === leadId) byId("close").click();
  for (const item of [...byId("changes").children]) if (item.dataset.lead === leadId) item.remove();
}

// The open lead as it is now, if it is not gone.
async function refill(leadId) {
  try {
    await fill(leadId);
  } catch (error) {
    if (error.status !== 404) throw error;
    forget(leadId);
  }
}

byId("erase-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const leadId = state.open;
  say("erase-said", "");
  if (!confirm(`Erase ${leadId} with its whole history? It cannot be taken back.`)) return;
  try {
    await call(pathOf(leadId), { method: "DELETE" });
    forget(leadId);
  } catch (error) {
    say("erase-said", `${leadId} is not erased: ${error.message}`);
  }
});
