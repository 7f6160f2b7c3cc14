// What outlives a reload: the drawing, in IndexedDB, and small settings in the browser's storage.
// Where nothing is kept (a private window, site data that is blocked), the page works without.

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

/** Keep a value, for this tab alone or for all; null is none. */
export function keep(name, value, isTabs = false) {
  try {
    const storage = isTabs ? sessionStorage : localStorage;
    if (value === null) storage.removeItem(`atelier.${name}`);
    else storage.setItem(`atelier.${name}`, JSON.stringify(value));
  } catch {
    // Full or blocked.
  }
}

/** A value that is kept, or null. */
export function kept(name, isTabs = false) {
  try {
    return JSON.parse((isTabs ? sessionStorage : localStorage).getItem(`atelier.${name}`));
  } catch {
    return null;
  }
}
