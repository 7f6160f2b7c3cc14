// Loaded before anything is painted, so that a page that was made dark is never light first.
{
  try {
    const theme = JSON.parse(localStorage.getItem("atelier.theme"));
    if (theme) document.documentElement.dataset.theme = theme;
  } catch {} // site data is blocked
  if (location.pathname.startsWith("/draw/")) document.documentElement.dataset.mode = "link";
}
