// An openid-client configuration with a certificate; the URLs it asked by POST so far, and the
// media types it got there.
import { readFileSync } from 'node:fs';
import * as client from 'openid-client';
import { Agent, fetch } from 'undici';

export async function connect(issuer, clientId, cert, key, ca, aliases, metadata = {}) {
  const dispatcher = new Agent({
    connect: { cert: readFileSync(cert), key: readFileSync(key), ca: readFileSync(ca) },
  });
  const asked = [];
  const types = [];
  const customFetch = async (url, options) => {
    const response = await fetch(url, { ...options, dispatcher });
    if (options.method === 'POST') {
      asked.push(String(url));
      types.push(response.headers.get('content-type'));
    }
    return response;
  };
  const config = await client.discovery(
    new URL(issuer),
    clientId,
    { use_mtls_endpoint_aliases: aliases === 'aliases', ...metadata },
    client.TlsClientAuth(),
    { algorithm: 'oauth2', [client.customFetch]: customFetch },
  );
  config[client.customFetch] = customFetch;
  return { config, asked, types, close: () => dispatcher.close() };
}
