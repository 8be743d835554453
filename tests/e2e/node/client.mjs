// The client as its documentation makes it, but for the base URL; and what the tests share.
import http from "node:http";
import assert from "node:assert/strict";
import twilio from "twilio";

export const settings = JSON.parse(process.env.SIPDOMAINS_TEST);
export const { accountSid, authToken, baseUrl, from } = settings;
export const LONG = "<Response><Pause length='60'/></Response>";

export function pointed(client) {
  client.api.baseUrl = baseUrl;
  return client;
}

export const client = pointed(twilio(accountSid, authToken));

/** The first true value of `condition`, which may be a promise. */
export async function until(what, condition, seconds = 60) {
  const deadline = Date.now() + seconds * 1000;
  while (Date.now() < deadline) {
    const value = await condition();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`${what}: not within ${seconds} s`);
}

export function statusIs(sid, wanted) {
  return until(`call ${wanted}`, async () => {
    const call = await client.calls(sid).fetch();
    return call.status === wanted ? call : undefined;
  });
}

/** A web application that answers by path, checks signatures and keeps what it was asked. */
export async function application(documents) {
  const hits = [];
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const params = Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
    const url = `http://${request.headers.host}${request.url}`;
    const signature = request.headers["x-twilio-signature"];
    const signed = twilio.validateRequest(authToken, signature, url, params);
    hits.push({ path: request.url, params, signed });
    response.writeHead(200, { "Content-Type": "text/xml" });
    response.end(documents[request.url] ?? "");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    hits,
    hit: (path, wanted = {}) =>
      until(`request to ${path}`, () =>
        hits.find(
          (one) =>
            one.path === path &&
            Object.entries(wanted).every(([name, value]) => one.params[name] === value),
        ),
      ),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** What the client throws: [status, code]. */
export async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    assert.equal(error.name, "Error");
    assert.equal(error.constructor, twilio.RestException, String(error));
    return [error.status, error.code];
  }
  assert.fail("nothing was thrown");
}
