// What outlives a reload: the drawing, in IndexedDB, and small settings in localStorage.
// Where a browser keeps nothing (a private window), the page works without.

const DRAWINGS = "drawings";

let opened = null;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("atelier", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(DRAWINGS);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function transact(mode, act) {
  const transaction = (await database()).transaction(DRAWINGS, mode);
  return new Promise((resolve, reject) => {
    const request = act(transaction.objectStore(DRAWINGS));
    transaction.commit(); // at once: the page may be on its way out
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = transaction.onerror = () => reject(request.error);
  });
}

export const keepDrawing = (name, drawing) =>
  transact("readwrite", (store) => store.put(drawing, name)).catch(() => {});

export const keptDrawing = (name) =>
  transact("readonly", (store) => store.get(name)).catch(() => undefined);

export function keep(name, value) {
  try {
    localStorage.setItem(`atelier.${name}`, JSON.stringify(value));
  } catch {
    // Full or switched off: the page works without.
  }
}

export function kept(name) {
  try {
    return JSON.parse(localStorage.getItem(`atelier.${name}`));
  } catch {
    return null;
  }
}
