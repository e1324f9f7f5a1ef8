// Opens two TLS connections one after the other with one SSLContext, asks for a token on each, and
// prints the TLS version and the status line. What was resumed, javax.net.debug tells.
// usage: java Sessions PORT CLIENT_ID CLIENT_P12 TRUST_P12 PASSWORD TLS_VERSION
import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

public class Sessions {
    public static void main(String[] arguments) throws Exception {
        char[] password = arguments[4].toCharArray();
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(load(arguments[2], password), password);
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(load(arguments[3], password));
        SSLContext tls = SSLContext.getInstance("TLS");
        tls.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        for (int connection = 0; connection < 2; connection++) {
            ask(tls, arguments);
        }
    }

    private static void ask(SSLContext tls, String[] arguments) throws Exception {
        String body = "grant_type=client_credentials&client_id=" + arguments[1];
        String request = "POST /token HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            + "Content-Type: application/x-www-form-urlencoded\r\n"
            + "Content-Length: " + body.length() + "\r\n\r\n" + body;
        int port = Integer.parseInt(arguments[0]);
        try (SSLSocket socket = (SSLSocket) tls.getSocketFactory().createSocket("localhost", port)) {
            socket.setEnabledProtocols(new String[] {arguments[5]});
            socket.setSoTimeout(10_000);
            socket.startHandshake();
            socket.getOutputStream().write(request.getBytes(StandardCharsets.US_ASCII));
            BufferedReader in = new BufferedReader(
                new InputStreamReader(socket.getInputStream(), StandardCharsets.US_ASCII));
            String status = in.readLine();
            while (in.readLine() != null) {
                // to the end: tickets come after the handshake
            }
            System.out.println(socket.getSession().getProtocol() + " " + status);
        }
    }

    private static KeyStore load(String path, char[] password) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (FileInputStream in = new FileInputStream(path)) {
            store.load(in, password);
        }
        return store;
    }
}
