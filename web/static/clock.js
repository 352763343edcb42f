// Keeps relative times true, and says clock times in the reader's own zone.
const STEPS = [[31536000, "year"], [2592000, "month"], [86400, "day"], [3600, "hour"], [60, "minute"]];

function ago(seconds) {
  if (seconds < 45) return "just now";
  for (const [length, unit] of STEPS) {
    const count = Math.round(seconds / length);
    if (count >= 1) return unit === "day" && count === 1 ? "yesterday" : `${count} ${unit}${count === 1 ? "" : "s"} ago`;
  }
  return "1 minute ago";
}

const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };

export function tell(root) {
  for (const time of root.querySelectorAll("time[data-ago]")) {
    const at = new Date(time.dateTime);
    put(time, ago((Date.now() - at) / 1000));
    time.title = at.toLocaleString();
  }
  for (const time of root.querySelectorAll("time[data-clock]:not([title=''])")) {
    const at = new Date(time.dateTime);
    put(time, at.toLocaleTimeString([], { hour12: false }));
    time.title = at.toLocaleString();
  }
}

export function keepTime() {
  tell(document);
  setInterval(() => tell(document), 15000);
}
